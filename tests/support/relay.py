"""A relay as a process of its own: `python -m tests.support.relay KIND PLACE URL BUS until-empty|until-published`.

`until-published`: once the bus has answered its first batch it says so and goes no further, so that it can be killed before it marks.
"""

import sys
import time
from typing import Any

from eventyard.client import Client, Outbox
from tests.support.databases import connector


class Halting(Client):
    def send(self, call: Any) -> Any:
        answer = super().send(call)
        sys.stdout.write("published\n")
        sys.stdout.flush()
        time.sleep(3_600)
        return answer


def main(kind: str, place: str, url: str, bus: str, end: str) -> None:
    with (Halting if end == "until-published" else Client)(url) as client:
        relayed = Outbox().relay(client, connector(kind, place), bus=bus, batch=50, wait_s=0.01, until_empty=True)
    sys.stdout.write(f"{relayed.accepted} {relayed.duplicates}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
