"""For teams that test their choreography: a bus in the test's own process, by a clock that the test moves. Described in docs/guides/testing.md.

`Bus` is the same machine and stages as a server's, without a network, a thread or a wait. `server` starts a real one, for services that cannot
be called in process. The fixtures of pytest stand in `eventyard.fixtures`.
"""

from eventyard.testing.bus import Bus
from eventyard.testing.fates import Fate, Fates
from eventyard.testing.house import Unending, WrongPlace
from eventyard.testing.pushes import Reply, Request
from eventyard.testing.receivers import Receiver
from eventyard.testing.serving import NotServing, Server, server
from eventyard.testing.watching import NeverSettles

__all__ = [
    "Bus",
    "Fate",
    "Fates",
    "NeverSettles",
    "NotServing",
    "Receiver",
    "Reply",
    "Request",
    "Server",
    "Unending",
    "WrongPlace",
    "server",
]
