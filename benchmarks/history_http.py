"""How fast history is read over HTTP: a log of 880-byte events from its beginning, in pages and as a stream.

    python benchmarks/history_http.py --events 200000

The bus is `eventyard serve` on a filled store, the client a plain one on the same cores. `pages` asks page after page of 1,000
over one connection; `sdk` does it with the Python client, every event decoded; `stream` reads the server-sent events of the same
stretch. The yardstick, in turns with them: the same HTTP server giving the same bytes, ready made, to the same plain client.
`cpu us` is the server's processor time for each event.
"""

import argparse
import http.client
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.history import fill
from benchmarks.support.processes import BUS, Running, server
from eventyard.client import Client

ROUNDS = 3
PAGE = 1_000
MARK = b',"accepted":"'
PATH = "/v1/buses/default/events?limit=%d&after=%s"
BARE = """
import socket, sys, uvloop
from eventyard.surfaces.http import Server
BODY = open(sys.argv[1], "rb").read()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
sys.setswitchinterval(0.0005)
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
uvloop.run(Server(app, started=lambda: print(url, flush=True)).serve([listener]))
"""


class Round:
    """What one reading came to."""

    def __init__(self, running: Running, read: Callable[[], int]) -> None:
        began, cpu_s = time.perf_counter(), running.cpu_s()
        count = read()
        self.per_second = count / (time.perf_counter() - began)
        self.cpu_us = (running.cpu_s() - cpu_s) / count * 1e6


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port)


def page(connection: http.client.HTTPConnection, after: str) -> bytes:
    connection.request("GET", PATH % (PAGE, after))
    return connection.getresponse().read()


def read_pages(url: str) -> int:
    connection, after, count = connect(url), "0", 0
    while after:
        body = page(connection, after)
        count += body.count(MARK)
        last = body[body.rindex(b'"next":') + 7 : -1]
        after = "" if last == b"null" else last.decode().strip('"')
    connection.close()
    return count


def read_bare(url: str, pages: int) -> int:
    connection, count = connect(url), 0
    for _ in range(pages):
        count += page(connection, "0").count(MARK)
    connection.close()
    return count


def read_by_sdk(url: str) -> int:
    with Client(url) as client:
        return sum(1 for _ in client.events())


def read_stream(url: str, events: int) -> int:
    parts, count = urlsplit(url), 0
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(b"GET /v1/buses/default/stream?after=0 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        rest = b""
        while count < events:
            read = rest + connection.recv(256 * 1024)
            count += read.count(MARK)
            rest = read[1 - len(MARK) :]  # A mark that was cut in two is counted with the next read.
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        fill(Path(folder) / "eventyard.db", options.events)
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        with server(*BUS, folder) as bus:
            (Path(folder) / "page").write_bytes(page(connect(bus.url), "0"))
            with server("-c", BARE, str(Path(folder) / "page")) as bare:
                measure(bus, bare, options.events)


def measure(bus: Running, bare: Running, events: int) -> None:
    rounds: dict[str, list[Round]] = {"pages": [], "sdk": [], "stream": [], "bare": []}
    for _ in range(ROUNDS):
        rounds["pages"].append(Round(bus, lambda: read_pages(bus.url)))
        rounds["bare"].append(Round(bare, lambda: read_bare(bare.url, events // PAGE)))
        rounds["sdk"].append(Round(bus, lambda: read_by_sdk(bus.url)))
        rounds["stream"].append(Round(bus, lambda: read_stream(bus.url, events)))
    rates = {name: statistics.median(each.per_second for each in of_name) for name, of_name in rounds.items()}
    for name, of_name in rounds.items():
        cpu_us = statistics.median(each.cpu_us for each in of_name)
        print(f"{name:7} {rates[name]:9,.0f} events/s   cpu {cpu_us:5.1f} us")
    print(f"ratio   {rates['pages'] / rates['bare']:9.2f} pages / bare; {rates['stream'] / rates['bare']:.2f} stream / bare")


if __name__ == "__main__":
    main()
