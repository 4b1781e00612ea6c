"""What it costs a request to say who sends it: without keys, with a key of a thousand, with a token that was seen before. Microseconds.

python benchmarks/access.py
"""

import sys
import timeit
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from eventyard.bus import Eventyard
from eventyard.core import access
from eventyard.core.access import Grant, Scope
from eventyard.core.event import make
from eventyard.core.network import Policy
from eventyard.engines.memory import MemoryEngine
from eventyard.serve import SystemClock
from eventyard.surfaces.http.access import Access
from eventyard.transports.http import HttpTransport

KEYS = 1_000
TIMES = 200_000


def main() -> None:
    policy = Policy(is_loopback_allowed=True)
    transport = HttpTransport(policy)
    yard = Eventyard(MemoryEngine(), transport, SystemClock(), policy)
    yard.open()
    door = Access(yard)
    text = access.key_text(bytes(36))
    headers = {b"authorization": b"Bearer " + text.encode()}
    show("without keys", lambda: door.holder(door.token(headers)))
    yard.found_key(text, "first")
    for number in range(1, KEYS):
        yard.found_key(access.key_text(number.to_bytes(4, "big") + bytes(32)), "other")
    show(f"a key of {KEYS:,}", lambda: door.holder(door.token(headers)))
    caller = access.Caller("key:1/k", (Grant((Scope.PUBLISH,), ("default",), "/shop/", ("order.*",)),))
    event = make({"specversion": "1.0", "id": "1", "source": "/shop/eu", "type": "order.paid"}, {"n": 1})
    show("a scope on a bus", lambda: caller.check(Scope.PUBLISH, "default"))
    show("an event's bounds", lambda: caller.refusal(event, "default"))
    transport.close()


def show(what: str, work: Callable[[], object]) -> None:
    best = min(timeit.repeat(work, number=TIMES // 5, repeat=5)) / (TIMES // 5)
    print(f"{what:20} {best * 1e6:6.2f} us")


if __name__ == "__main__":
    main()
