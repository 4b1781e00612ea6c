"""The push transport against a bare pycurl loop and the same sink, in turns within one run.

The bare loop is the least that pycurl can do: fixed handles on one URL and one body, `perform` and `select`, no headers
read, no thread, no names, no policy, no time limit. The ratio is what our care costs.

    python benchmarks/push_alone.py --seconds 10 --body-bytes 880 --concurrency 64
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pycurl  # type: ignore[import-untyped]  # its own stub knows only Any

from eventyard.core.network import Policy
from eventyard.ports import PushAnswer, PushRequest
from eventyard.transports.http import HttpTransport

ROUNDS = 5
SINK = Path(__file__).parent / "support" / "sink.py"
HEADERS = (
    ("content-type", "application/cloudevents+json"),
    ("webhook-id", "msg_01HQZX3V5T8Q9W2R4Y6U8I0P"),
    ("webhook-timestamp", "1767225600"),
    ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
)


@contextmanager
def sink() -> Iterator[int]:
    with subprocess.Popen([sys.executable, SINK, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, for mypy
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class OurRound:
    """Keeps `concurrency` pushes under way until the time is over; each answer starts the next push."""

    def __init__(self, transport: HttpTransport, request: PushRequest, seconds: float) -> None:
        self._transport = transport
        self._request = request
        self._ends_at = time.monotonic() + seconds
        self._under_way = 0
        self._done = threading.Event()
        self.count = 0
        self.failure = ""

    def run(self, concurrency: int) -> int:
        self._under_way = concurrency
        for _ in range(concurrency):
            self._transport.send(self._request, self._answered)
        self._done.wait(self._ends_at - time.monotonic() + self._request.timeout_s + 1)
        if self.failure:
            raise SystemExit(self.failure)
        return self.count

    def _answered(self, answer: PushAnswer) -> None:
        self.failure = self.failure or answer.failure
        self.count += 1
        if time.monotonic() < self._ends_at and not self.failure:
            self._transport.send(self._request, self._answered)
            return
        self._under_way -= 1
        if not self._under_way:
            self._done.set()


def bare_round(handles: list[pycurl.Curl], multi: pycurl.CurlMulti, seconds: float) -> int:
    count, ends_at = 0, time.monotonic() + seconds
    for handle in handles:
        multi.add_handle(handle)
    running = len(handles)
    while running:
        _, running = multi.perform()
        is_over = time.monotonic() >= ends_at
        _, ended, failed = multi.info_read()
        if failed:
            raise SystemExit(failed[0][2])
        for handle in ended:
            count += 1
            multi.remove_handle(handle)
            if not is_over:
                multi.add_handle(handle)
                running += 1
        if not ended:
            multi.select(1.0)
    return count


def bare_handles(url: str, body: bytes, concurrency: int) -> list[pycurl.Curl]:
    return [bare_handle(url, body) for _ in range(concurrency)]


def bare_handle(url: str, body: bytes) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.POSTFIELDS, body)
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS])
    handle.setopt(pycurl.WRITEFUNCTION, len)
    return handle


def measure(round_: Callable[[float], int], seconds: float) -> float:
    """Pushes a second."""
    started = time.monotonic()
    count = round_(seconds)
    return count / (time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the whole run")
    parser.add_argument("--body-bytes", type=int, default=880)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    body, share = b"x" * options.body_bytes, options.seconds / ROUNDS / 2
    with sink() as port:
        url = f"http://127.0.0.1:{port}/events"
        transport = HttpTransport(Policy(is_loopback_allowed=True))
        request = PushRequest(url=url, headers=HEADERS, body=body, timeout_s=10.0)
        handles, multi = bare_handles(url, body, options.concurrency), pycurl.CurlMulti()
        ours, bare = [], []
        for _ in range(ROUNDS):
            ours.append(measure(lambda s: OurRound(transport, request, s).run(options.concurrency), share))
            bare.append(measure(lambda s: bare_round(handles, multi, s), share))
        transport.close()
    print(f"ours   {statistics.median(ours):10,.0f} pushes/s   ({min(ours):,.0f} to {max(ours):,.0f})")
    print(f"bare   {statistics.median(bare):10,.0f} pushes/s   ({min(bare):,.0f} to {max(bare):,.0f})")
    print(f"ratio  {statistics.median(o / b for o, b in zip(ours, bare, strict=True)):10.2f}")


if __name__ == "__main__":
    main()
