"""Fill a bus: a number of events, each with an id of its own, published in large batches over a few connections."""

import http.client
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from benchmarks.support.progress import announce

BATCH = 500
CONNECTIONS = 2
"""Enough that one batch is read while the other is written; the server's threads do not run faster for more."""


def fill(url: str, bus: str, count: int, body: Callable[[int], bytes], *, what: str = "") -> float:
    """Publish `body(0)` to `body(count - 1)` and return the seconds that it took. `what`: shown as progress."""
    firsts = iter(range(0, count, BATCH))
    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        published = [pool.submit(_publish_all, url, bus, firsts, count, body=body, what=what) for _ in range(CONNECTIONS)]
    for each in published:
        each.result()
    return time.perf_counter() - began


def _publish_all(url: str, bus: str, firsts: Iterator[int], count: int, *, body: Callable[[int], bytes], what: str) -> None:
    """Batch after batch from those that nobody has taken yet."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    for first in firsts:
        numbers = range(first, min(first + BATCH, count))
        _publish(connection, bus, [body(number) for number in numbers])
        if what:
            announce(f"{what}: {numbers.stop:,} of {count:,} events published")
    connection.close()


def _publish(connection: http.client.HTTPConnection, bus: str, bodies: list[bytes]) -> None:
    headers = {"content-type": "application/cloudevents-batch+json"}
    connection.request("POST", f"/v1/buses/{bus}/events", b"[" + b",".join(bodies) + b"]", headers)
    answer = connection.getresponse()
    said = answer.read()
    accepted = said.count(b'"duplicate":false')
    if answer.status != http.HTTPStatus.ACCEPTED or accepted != len(bodies):
        raise SystemExit(f"found status {answer.status} and {accepted} of {len(bodies)} events accepted: {said[:300]!r}")
