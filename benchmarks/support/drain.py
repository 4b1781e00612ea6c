"""Many readers of one stream that look at nothing, as cheaply as Python can: so that the cores are left to what is measured.

`python benchmarks/support/drain.py URL COUNT` prints a line when all of them read, and at the end of its standard input the number
of their messages.
"""

import select
import socket
import sys
from urllib.parse import urlsplit

MARK = b',"accepted":"'


def main() -> None:
    url, count = urlsplit(sys.argv[1]), int(sys.argv[2])
    epoll, readers = select.epoll(), [socket.create_connection((url.hostname, url.port)) for _ in range(count)]
    by_number = {reader.fileno(): reader for reader in readers}
    for reader in readers:
        reader.sendall(f"GET {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\n\r\n".encode())
        assert b"200 OK" in reader.recv(65536)  # noqa: S101 - a benchmark's own check
        epoll.register(reader, select.EPOLLIN)
    epoll.register(sys.stdin, select.EPOLLIN)
    print("reading", flush=True)
    print(read(epoll, by_number))


def read(epoll: select.epoll, by_number: dict[int, socket.socket]) -> int:
    """A mark that a read cuts in two is not counted: at such rates nearly every read is a whole chunk."""
    messages = 0
    while True:
        for number, _ in epoll.poll():
            if number == sys.stdin.fileno():
                return messages
            messages += by_number[number].recv(262144).count(MARK)


if __name__ == "__main__":
    main()
