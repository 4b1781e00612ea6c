"""A worker: push dispatch as a process of its own, on this machine or another, so that push uses more than one core.

It leases deliveries of push rules from a server, over HTTP, sends them and tells the server what came of them. `worker` is what it does,
`line` how it speaks to the server, `running` puts it together and runs it until it is told to stop.
"""

from eventyard.worker.running import work
from eventyard.worker.worker import WrongServer

__all__ = ["WrongServer", "work"]
