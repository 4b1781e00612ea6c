"""One HTTP exchange over one curl handle: a request goes in, an answer or a phrase of failure comes out.

A handle is configured once and then carries one push after the other; only what differs is set again. Everything that
libcurl would do on its own account is switched off here: proxies and their environment variables, redirects, cookies,
netrc, other protocols, HTTP/0.9, `Expect: 100-continue`, decompression.

What counts as an answer: one that came in whole, and one whose body we stopped reading at the caller's limit (the status is
known, the body is cut to the limit). An answer that broke off, or did not end in time, is a failure whatever its status:
it is a lost answer, and at-least-once says try again.
"""

import errno
import functools
import os
import re
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import socket
from typing import Any

import pycurl  # type: ignore[import-untyped]  # its own stub knows only Any

from eventyard.core import limits
from eventyard.core.network import Policy, Url
from eventyard.ports import PushAnswer, PushRequest

Done = Callable[[PushAnswer], None]

_BODYLESS = frozenset({"GET", "DELETE", "OPTIONS"})
"""Without a body these say nothing of one: a Content-Length of 0 is what servers take for a mistake (RFC 9110, 8.6)."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")

# RFC 9110 section 7.6.1 and RFC 9112 section 6: these frame the message and steer the connection, which is libcurl's office.
# A caller's own Content-Length would let one push speak for the next one on the same connection.
_FRAMING_HEADERS = frozenset(
    [
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    ]
)


class Push:
    """A request on its way, and whom to tell. `sent_at` is monotonic; `has_waited` is true when its name had to be looked up."""

    __slots__ = ("done", "has_waited", "request", "sent_at")

    def __init__(self, request: PushRequest, done: Done) -> None:
        self.request = request
        self.done = done
        self.sent_at = time.monotonic()
        self.has_waited = False

    @property
    def deadline(self) -> float:
        return self.sent_at + self.request.timeout_s

    def failed(self, failure: str, *, is_refused: bool = False) -> PushAnswer:
        elapsed_s = time.monotonic() - self.sent_at
        return PushAnswer(status=0, headers={}, body=b"", failure=failure, is_refused=is_refused, elapsed_s=elapsed_s)


class InvalidHeader(Exception):
    """A header that cannot be sent as it is. The message is for a person and names the header, never its value."""


class Exchange:
    """A curl handle and the push that it carries. Belongs to the transport's thread."""

    def __init__(
        self, policy: Policy, *, opened: Callable[[int], None], user_agent: str, ca_file: str, connect_timeout_s: float
    ) -> None:
        self.curl: Any = pycurl.Curl()
        self.push: Push | None = None
        self._policy = policy
        self._opened = opened
        self._opening: socket | None = None
        self._url = ""
        self._timeout_s = 0.0
        self._method = "POST"
        self._is_pinned = False
        self._forget()
        self._configure(user_agent, ca_file, connect_timeout_s)

    def _configure(self, user_agent: str, ca_file: str, connect_timeout_s: float) -> None:
        options = {
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.HTTP09_ALLOWED: 0,
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PROXY: "",  # the empty string, unlike no string, also silences the environment
            pycurl.NOPROXY: "*",
            pycurl.NETRC: pycurl.NETRC_IGNORED,
            pycurl.SSL_VERIFYPEER: 1,
            pycurl.SSL_VERIFYHOST: 2,
            pycurl.CAINFO: ca_file,
            pycurl.NOSIGNAL: 1,
            pycurl.CONNECTTIMEOUT_MS: int(connect_timeout_s * 1000),
            pycurl.MAXLIFETIME_CONN: int(limits.PUSH_CONNECTION_LIFETIME_S),
            pycurl.USERAGENT: user_agent,
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
            pycurl.SOCKOPTFUNCTION: self._set_up_socket,
            pycurl.HEADERFUNCTION: self._take_header,
            pycurl.WRITEFUNCTION: self._take_body,
        }
        for option, value in options.items():
            self.curl.setopt(option, value)

    def begin(self, push: Push, url: Url, addresses: tuple[IPv4Address | IPv6Address, ...]) -> None:
        """Load the handle with a push, or raise `InvalidHeader`. `addresses` are where a name leads, already judged."""
        request = push.request
        self.curl.setopt(pycurl.HTTPHEADER, _header_lines(request.headers))
        self._set_method(request.method, request.body)
        self._set_url(url, addresses)
        self._set_timeout(push)
        self.push = push

    def _set_method(self, method: str, body: bytes) -> None:
        """Of libcurl's two kinds of request, with a body and without, the name is only what is written at its head."""
        has_body = bool(body) or method not in _BODYLESS
        if has_body:
            self.curl.setopt(pycurl.POSTFIELDS, body)  # which makes it one with a body
        if method == self._method and has_body:
            return
        if not has_body:
            self.curl.setopt(pycurl.HTTPGET, 1)
        if method == "POST":
            self.curl.unsetopt(pycurl.CUSTOMREQUEST)
        else:
            self.curl.setopt(pycurl.CUSTOMREQUEST, method)
        self._method = method

    def _set_url(self, url: Url, addresses: tuple[IPv4Address | IPv6Address, ...]) -> None:
        """A name is pinned at every push: the + lets libcurl forget it after a minute, so it must be fresh when it is used."""
        if url.text != self._url:
            self.curl.setopt(pycurl.URL, url.text)
            self._url = url.text
        if url.address is None:
            self.curl.setopt(pycurl.RESOLVE, [_pin(url, addresses)])
            self._is_pinned = True
        elif self._is_pinned:
            self.curl.unsetopt(pycurl.RESOLVE)
            self._is_pinned = False

    def _set_timeout(self, push: Push) -> None:
        """The push's limit runs from `send`, so a wait for the name is taken off. The inbox is no wait to speak of."""
        timeout_s = max(0.001, push.deadline - time.monotonic()) if push.has_waited else push.request.timeout_s
        if timeout_s != self._timeout_s:
            self.curl.setopt(pycurl.TIMEOUT_MS, max(1, int(timeout_s * 1000)))
            self._timeout_s = timeout_s

    def end(self, code: int, message: str) -> PushAnswer:
        """What came of the push, given libcurl's result. The handle is then free for the next one."""
        push = self.push
        assert push is not None  # noqa: S101 - the transport ends only what it began
        answer = self._answer(push, code, message)
        self._forget()
        self.push = None
        if len(push.request.body) > limits.PUSH_HANDLE_BODY_BYTES:
            self.curl.setopt(pycurl.POSTFIELDS, b"")
        return answer

    def _answer(self, push: Push, code: int, message: str) -> PushAnswer:
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        if code and not self._is_cut:
            return push.failed(self._failure(push, code, message), is_refused=bool(self._refused))
        if not 100 <= status <= 599:
            return push.failed("the answer is not HTTP")
        headers = _read_headers(self._header_lines)
        if headers is None:
            return push.failed("the answer broke off")
        return PushAnswer(
            status=status,
            headers=headers,
            body=b"".join(self._chunks),
            elapsed_s=time.monotonic() - push.sent_at,
        )

    def _forget(self) -> None:
        self._header_lines: list[bytes] = []
        self._header_bytes = 0
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._is_cut = False
        self._refused = ""
        self._trouble = ""

    # Called by libcurl. None of these may raise: pycurl would print it and go on.

    def _open_socket(self, _purpose: int, peer: Any) -> Any:
        """The last word on where a push goes: `peer` is the address that libcurl is about to connect to."""
        address = ip_address(peer.addr[0])
        reason = self._policy.verdict(address)
        if reason:
            self._refused = forbidden(address, reason)
            return pycurl.SOCKET_BAD
        try:
            self._opening = socket(peer.family, peer.socktype, peer.protocol)
        except OSError as error:
            self._trouble = f"no socket: {os.strerror(error.errno or 0).lower()}"
            return pycurl.SOCKET_BAD
        return self._opening

    def _set_up_socket(self, descriptor: int, _purpose: int) -> int:
        """The socket as libcurl has it: pycurl handed on a duplicate of what `_open_socket` returned, so that one is done."""
        if self._opening:
            self._opening.close()
            self._opening = None
        self._opened(descriptor)
        return int(pycurl.SOCKOPT_OK)

    def _take_header(self, line: bytes) -> int | None:
        """Every line of every header block: interim answers, the answer, trailers. Returning -1 ends the exchange."""
        self._header_bytes += len(line)
        if self._header_bytes > limits.ANSWER_HEADER_BYTES_MAX:
            self._trouble = _HEADERS_TOO_LARGE
            return -1
        self._header_lines.append(line)
        return None

    def _take_body(self, chunk: bytes) -> int | None:
        push = self.push
        room = push.request.answer_bytes_max - self._body_bytes if push else 0
        if len(chunk) > room:
            self._chunks.append(chunk[:room])
            self._is_cut = True
            return -1
        self._chunks.append(chunk)
        self._body_bytes += len(chunk)
        return None

    def _failure(self, push: Push, code: int, message: str) -> str:
        if self._refused or self._trouble:
            return self._refused or self._trouble
        match code:
            case pycurl.E_OPERATION_TIMEDOUT:
                return self._timeout_phrase(push)
            case pycurl.E_COULDNT_CONNECT:
                return _connect_phrase(self.curl.getinfo(pycurl.OS_ERRNO))
            case pycurl.E_PEER_FAILED_VERIFICATION | pycurl.E_SSL_CONNECT_ERROR:
                return "TLS: " + _printable(message)
            case _:
                return _PHRASES.get(code) or _printable(pycurl.easy_strerror(code)).lower()

    def _timeout_phrase(self, push: Push) -> str:
        elapsed_s = time.monotonic() - push.sent_at
        if elapsed_s < push.request.timeout_s - 0.05:
            return f"connecting timed out after {elapsed_s:.0f} s"
        return timed_out(push.request)


def timed_out(request: PushRequest) -> str:
    return f"timed out after {request.timeout_s:g} s"


def forbidden(address: IPv4Address | IPv6Address, reason: str) -> str:
    return f"address {address} is forbidden: {reason}"


_HEADERS_TOO_LARGE = f"answer headers larger than {limits.ANSWER_HEADER_BYTES_MAX // 1024} KiB"

# libcurl's own words for these speak of libcurl.
_PHRASES = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "the answer is not HTTP",  # how it calls an HTTP/0.9 answer, that is, any garbage
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "the answer is not HTTP",  # the name of code 8 in pycurl; libcurl now says WEIRD_SERVER_REPLY
    pycurl.E_GOT_NOTHING: "connection closed without an answer",
    pycurl.E_PARTIAL_FILE: "the answer broke off",
    pycurl.E_RECV_ERROR: "connection broken while reading the answer",
    pycurl.E_SEND_ERROR: "connection broken while sending",
    100: _HEADERS_TOO_LARGE,  # CURLE_TOO_LARGE: one header of more than 100 KB, which we are never shown
}


def _connect_phrase(number: int) -> str:
    if number == errno.ECONNREFUSED:
        return "connection refused"
    return f"connecting failed: {os.strerror(number).lower()}" if number else "connecting failed"


def _printable(text: str) -> str:
    """A certificate's words reach this text, so only what a terminal and a log line can bear."""
    return "".join(character for character in text[:120] if character.isprintable())


def _pin(url: Url, addresses: tuple[IPv4Address | IPv6Address, ...]) -> str:
    shown = ",".join(f"[{address}]" if isinstance(address, IPv6Address) else str(address) for address in addresses)
    return f"+{url.host}:{url.port}:{shown}"


def _header_lines(headers: tuple[tuple[str, str], ...]) -> list[str]:
    """Headers as libcurl wants them written: `Name;` is sent with an empty value, `Name:` takes a default of its own away."""
    lines = ["Expect:"]
    has_type = False
    for name, value in headers:
        has_type = _check_name(name) == "content-type" or has_type
        is_plain = value[:1] > " " and value.isascii() and value.isprintable()
        lines.append(f"{name}: {value}" if is_plain else _odd_line(name, value))
    if not has_type:
        lines.append("Content-Type:")
    return lines


@functools.lru_cache(maxsize=1024)
def _check_name(name: str) -> str:
    """The name in lower case. Remembered, since rules use few names and pushes are many."""
    lowered = name.lower()
    if not _HEADER_NAME.match(name) or lowered in _FRAMING_HEADERS:
        raise InvalidHeader(f"the header {_printable(name)} cannot be set")
    return lowered


def _odd_line(name: str, value: str) -> str:
    """A tab may stand in a value, and it may be empty (RFC 9110 section 5.5). CR and LF above all may not."""
    if not (value.isascii() and value.replace("\t", " ").isprintable()):
        raise InvalidHeader(f"the header {name} has characters that HTTP does not carry")
    return f"{name}: {value}" if value.strip() else f"{name};"


def _read_headers(lines: list[bytes]) -> dict[str, str] | None:
    """The headers of the answer, names in lower case, without those of interim answers and without trailers.

    A header that comes twice is joined by a comma (RFC 9110 section 5.3). None when the blank line at their end is missing:
    libcurl takes a connection that closes in the middle of the headers for the end of a good answer.
    """
    headers: dict[str, str] = {}
    for line in lines[_last_status_line(lines) + 1 :]:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            return None if name.strip() else headers
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return None


def _last_status_line(lines: list[bytes]) -> int:
    if lines and lines[-1] == b"\r\n" and lines.count(b"\r\n") == 1:
        return 0
    return max((number for number, line in enumerate(lines) if line.startswith(b"HTTP/")), default=0)
