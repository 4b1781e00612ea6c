"""The sockets that libcurl waits on, over epoll, and a bell that other threads ring.

Theory of operation. libcurl says "watch" when a transfer starts on a kept connection and "remove" when it ends, though the
next push takes the same connection a moment later. Doing as it says costs two system calls a push: on a sink benchmark
48,000 against 63,000 pushes/s. So a removal is only noted, and the kernel goes on watching. That leaves two cases:

- A kept connection is ready while nobody waits on it (the target closed it). The event is then not ours to report, and the
  kernel is told to forget the socket, or it would tell us for ever. libcurl finds the closed connection when it wants it.
- libcurl closes a connection without a word, and a new socket gets its number. The kernel forgot the old one at its close,
  so our note is stale and must not stop us from registering. libcurl shows us every new socket before it watches it
  (SOCKOPTFUNCTION), and `opened` drops the note.

The bell is a socket pair, because pycurl has no wakeup of its own.
"""

import contextlib
import select
import socket
from typing import Any

import pycurl  # type: ignore[import-untyped]  # its own stub knows only Any

_EVENTS_MAX = 512

_EPOLL_OF_CURL = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


class Poller:
    """Belongs to one thread, but for `ring`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wanted: set[int] = set()
        self._registered: dict[int, int] = {}
        self._alarm, self._bell = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell.setblocking(False)
        self._epoll.register(self._alarm.fileno(), select.EPOLLIN)

    def ring(self) -> None:
        """From any thread: end the current `poll`, or the next one. A full bell rings already."""
        with contextlib.suppress(BlockingIOError):
            self._bell.send(b"!")

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        """What is ready, as (descriptor, libcurl's mask), after `timeout_s` at the latest."""
        return [
            (descriptor, _CURL_OF_EPOLL[events])
            for descriptor, events in self._epoll.poll(timeout_s, _EVENTS_MAX)
            if descriptor in self._wanted or self._put_aside(descriptor)
        ]

    def _put_aside(self, descriptor: int) -> bool:
        if descriptor == self._alarm.fileno():
            with contextlib.suppress(BlockingIOError):
                self._alarm.recv(4096)
        else:
            self._registered.pop(descriptor, None)
            with contextlib.suppress(OSError):  # closed since: then the kernel has let go of it
                self._epoll.unregister(descriptor)
        return False

    def opened(self, descriptor: int) -> None:
        """A new socket has this number; what we knew of the number is over."""
        self._registered.pop(descriptor, None)

    def watch(self, what: int, descriptor: int, _multi: Any, _data: Any) -> None:
        """Libcurl's socket callback."""
        if what == pycurl.POLL_REMOVE:
            self._wanted.discard(descriptor)
            return
        self._wanted.add(descriptor)
        before = self._registered.get(descriptor)
        if before != what:
            change = self._epoll.modify if before else self._epoll.register
            change(descriptor, _EPOLL_OF_CURL[what])
            self._registered[descriptor] = what

    def close(self) -> None:
        self._epoll.close()
        self._alarm.close()
        self._bell.close()


def _curl_mask(events: int) -> int:
    mask = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
    mask |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
    return int(mask | (pycurl.CSELECT_ERR if events & select.EPOLLERR else 0))


_EPOLL_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP
_CURL_OF_EPOLL = {events: _curl_mask(events) for events in range(_EPOLL_EVENTS + 1)}
