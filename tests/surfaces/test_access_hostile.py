"""A hundred and more ways to come in without a key that is in force, byte by byte: none of them is answered with anything but a refusal.

Each is what somebody might send who knows how keys look, knows the id of one (it is no secret), or has seen tokens; or who hopes that something
before the bus reads a request otherwise than the bus does. After each the bus holds what it held, and who has a key is served.
"""

import base64
import hashlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventyard.core.access import EVERYTHING, Scope
from eventyard.issuer import FileKeys, Issuer, Policy
from tests.support.buses import WAIT_S
from tests.support.keys import LockedBus, locked_bus
from tests.support.tokens import AUDIENCE, ISSUER, forged, jwks, public, token

HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"
INNER = b"GET /v1/keys HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
"""What is smuggled: it must never be answered as if somebody with a key had asked."""

REFUSALS = {400, 401, 403, 431}
"""None of them says that anything behind the door was looked at."""


def asking(target: bytes = b"/v1/buses", *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + lines + b"\r\n" + body


def shown(value: bytes) -> bytes:
    return asking(b"/v1/buses", b"Authorization: " + value)


# KEY: a key that is in force and may do everything. ID: its id. HEAD: its first 12 bytes. DIGEST: what the store has of it.

VALUES = {
    "nothing": b"",
    "spaces": b"    ",
    "scheme alone": b"Bearer",
    "scheme and space": b"Bearer ",
    "key alone": b"KEY",
    "key without its form": b"Bearer ID",
    "two spaces": b"Bearer  KEY",
    "tab": b"Bearer\tKEY",
    "colon": b"Bearer: KEY",
    "equals": b"Bearer=KEY",
    "comma list": b"Bearer KEY, Bearer KEY",
    "two keys": b"Bearer KEY KEY",
    "quoted": b'Bearer "KEY"',
    "parameter": b"Bearer token=KEY",
    "semicolon": b"Bearer KEY;",
    "basic": b"Basic " + base64.b64encode(b"KEY:"),
    "basic with the key": b"Basic KEY",
    "another scheme": b"ApiKey KEY",
    "token scheme": b"Token KEY",
    "negotiate": b"Negotiate KEY",
    "scheme spelt wide": "\uff22earer KEY".encode(),
    "upper case": b"Bearer KEY".upper().replace(b"KEY", b"BIG"),
    "cut": b"Bearer CUT",
    "one more": b"Bearer KEY0",
    "last digit changed": b"Bearer OFF",
    "nul behind": b"Bearer KEY\x00",
    "id with zeros": b"Bearer ey_ID_" + b"0" * 64,
    "id with the digest": b"Bearer ey_ID_DIGEST",
    "digest": b"Bearer DIGEST",
    "nobody's": b"Bearer ey_00000000_" + b"0" * 64,
    "wide digits": b"Bearer ey_ID_" + "\uff10".encode() * 64,
    "arabic digits": b"Bearer ey_ID_" + "\u0660".encode() * 64,
    "latin bytes": b"Bearer ey_ID_" + b"\xe9" * 64,
    "broken utf-8": b"Bearer \xff\xfe\xc0\x80",
    "homoglyph prefix": "Bearer \u0435y_ID_".encode() + b"0" * 64,
    "soft hyphen": "Bearer KE\u00adY".encode(),
    "percent encoded": b"Bearer %65y_ID_" + b"0" * 64,
    "base64": b"Bearer B64KEY",
    "json": b'Bearer {"id":"ID"}',
    "array": b'Bearer ["KEY"]',
    "sql": b"Bearer ey_ID_' OR '1'='1",
    "like": b"Bearer ey_%_%",
    "glob": b"Bearer ey_*_*",
    "path as id": b"Bearer ey_../../x_" + b"0" * 64,
    "regex": b"Bearer ey_[0-9a-f]{8}_[0-9a-f]{64}",
    "format string": b"Bearer {0.__class__}%s%n",
    "template": b"Bearer ${KEY}",
    "environment": b"Bearer $EVENTYARD_KEY",
    "eight kilobytes": b"Bearer " + b"a" * 8_200,
    "sixty kilobytes": b"Bearer " + b"a" * 60_000,
    "past the head's bound": b"Bearer " + b"a" * 70_000,
    "a key and eight kilobytes": b"Bearer KEY" + b"0" * 8_200,
}

HEADERS = {
    "two that differ": (b"Authorization: Bearer KEY", b"Authorization: Bearer none"),
    "two, the good one last": (b"Authorization: Bearer none", b"Authorization: Bearer KEY"),
    "two alike": (b"Authorization: Bearer KEY", b"Authorization: Bearer KEY"),
    "two in other cases": (b"AUTHORIZATION: Bearer KEY", b"authorization: Bearer KEY"),
    "space before the colon": (b"Authorization : Bearer KEY",),
    "folded": (b"Authorization: Bearer\r\n KEY",),
    "folded before": (b"X: y\r\n Authorization: Bearer KEY",),
    "carriage return inside": (b"X: y\rAuthorization: Bearer KEY",),
    "underscore": (b"HTTP_AUTHORIZATION: Bearer KEY",),
    "another name": (b"X-Authorization: Bearer KEY",),
    "a proxy's": (b"Proxy-Authorization: Bearer KEY",),
    "api key": (b"X-Api-Key: KEY",),
    "webhook origin": (b"WebHook-Request-Origin: 127.0.0.1",),
    "cookie": (b"Cookie: Authorization=Bearer KEY; key=KEY",),
    "forwarded for": (b"X-Forwarded-For: 127.0.0.1", b"Forwarded: for=127.0.0.1"),
    "another url": (b"X-Original-URL: /healthz", b"X-Rewrite-URL: /healthz"),
    "another method": (b"X-HTTP-Method-Override: GET", b"X-Method-Override: GET"),
    "a user by a proxy's word": (b"X-Remote-User: admin", b"X-Forwarded-User: admin", b"X-Principal: key:ID/admin"),
    "hop by hop": (b"Connection: authorization", b"Authorization: Bearer none"),
    "a trailer announced": (b"Trailer: Authorization", b"TE: trailers"),
    "upgrade": (b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    "websocket": (b"Upgrade: websocket", b"Sec-WebSocket-Protocol: bearer, KEY"),
}

TARGETS = {
    "token in the query": b"/v1/buses?access_token=KEY",
    "key in the query": b"/v1/buses?key=KEY&authorization=Bearer%20KEY",
    "user in the address": b"http://KEY@127.0.0.1/v1/buses",
    "dots from the open path": b"/healthz/../v1/buses",
    "encoded dots": b"/healthz/%2e%2e/v1/buses",
    "encoded slash": b"/healthz%2f..%2fv1%2fbuses",
    "backslash": b"/healthz\\..\\v1\\buses",
    "semicolon": b"/healthz;/v1/buses",
    "two slashes": b"//v1/buses",
    "two slashes to the open path": b"//healthz",
    "encoded open path": b"/%68ealthz",
    "upper case": b"/HEALTHZ",
    "below the open path": b"/healthz/v1/buses",
    "dot": b"/./healthz",
    "back to the open path": b"/v1/buses/../../healthz",
    "nul": b"/healthz%00/v1/buses",
    "open path in the query": b"/v1/buses?/healthz",
    "open path as a fragment": b"/v1/buses#/healthz",
    "unicode": "/v1/bu\u017fes".encode(),
    "star": b"*",
    "a bus of many bytes": b"/v1/buses/" + b"a" * 30_000,
    "a name with a slash": b"/v1/buses/a%2f..%2fdefault/rules",
}

METHODS = {
    "lower case": b"get /v1/buses HTTP/1.1\r\n" + HOST + b"\r\n",
    "trace": b"TRACE /v1/buses HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT 127.0.0.1:8410 HTTP/1.1\r\n" + HOST + b"\r\n",
    "options": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "preflight": asking(
        b"/v1/buses", b"Access-Control-Request-Method: GET", b"Access-Control-Request-Headers: authorization", method=b"OPTIONS"
    ),
    "head": asking(method=b"HEAD"),
    "http/0.9": b"GET /v1/buses\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/3.7": b"GET /v1/buses HTTP/3.7\r\n" + HOST + b"\r\n",
    "no host": b"GET /v1/buses HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /v1/buses HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "another host": b"GET /v1/buses HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer KEY\r\nConnection: close\r\n\r\n",
    "a page's": asking(b"/v1/buses", b"Origin: https://evil.example", b"Authorization: Bearer KEY"),
    "cross-site": asking(b"/v1/buses", b"Sec-Fetch-Site: cross-site", b"Authorization: Bearer KEY"),
}


def smuggling(*headers: bytes, body: bytes) -> bytes:
    return asking(b"/v1/buses/default/events", *headers, method=b"POST", body=body)


CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = {
    "length and chunks": smuggling(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n" + INNER),
    "chunks and length": smuggling(CHUNKED, b"Content-Length: 200", body=b"0\r\n\r\n" + INNER),
    "two lengths": smuggling(b"Content-Length: 0", b"Content-Length: 100", body=INNER),
    "a list of lengths": smuggling(b"Content-Length: 0, 100", body=INNER),
    "a signed length": smuggling(b"Content-Length: +0", body=INNER),
    "a negative length": smuggling(b"Content-Length: -1", body=INNER),
    "a length past 64 bits": smuggling(b"Content-Length: 18446744073709551616", body=INNER),
    "a length in hex": smuggling(b"Content-Length: 0x0", body=INNER),
    "an empty length": smuggling(b"Content-Length:", body=INNER),
    "a length with a space": smuggling(b"Content-Length : 0", body=INNER),
    "chunks spelt otherwise": smuggling(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + INNER),
    "chunks and more": smuggling(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + INNER),
    "chunks twice": smuggling(CHUNKED, CHUNKED, body=b"0\r\n\r\n" + INNER),
    "chunks with a tab": smuggling(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n" + INNER),
    "chunks with a space": smuggling(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + INNER),
    "a chunk's size past 64 bits": smuggling(CHUNKED, body=b"10000000000000000\r\n" + INNER),
    "a negative chunk": smuggling(CHUNKED, body=b"-1\r\n" + INNER),
    "a chunk with a bare line feed": smuggling(CHUNKED, body=b"0\n\n" + INNER),
    "a chunk's extension with a line feed": smuggling(CHUNKED, body=b"0;x=\n\r\n\r\n" + INNER),
    "a key in the trailer": smuggling(CHUNKED, body=b"0\r\nAuthorization: Bearer KEY\r\n\r\n"),
    "a body for GET": asking(b"/v1/buses", b"Content-Length: 0", body=INNER),
    "a body for HEAD": asking(b"/v1/buses", b"Content-Length: %d" % len(INNER), method=b"HEAD", body=INNER),
    "bare line feeds": b"GET /v1/buses HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n" + INNER,
    "a header in the target": b"GET /v1/buses HTTP/1.1\r\nX: y HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "spaces in the request line": b"GET  /v1/buses  HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a nul in a name": asking(b"/v1/buses", b"X\x00: y") + INNER,
    "expectation": smuggling(b"Expect: 100-continue", b"Content-Length: %d" % len(INNER), body=INNER),
    "pipelined": b"GET /v1/buses HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + INNER,
    "behind a good request": b"GET /v1/buses HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer NARROW\r\n\r\n" + INNER,
}

TOKENS = {
    "alg none": lambda: forged({"alg": "none", "kid": "k"}, groups()),
    "alg None": lambda: forged({"alg": "None", "kid": "k"}, groups()),
    "no alg": lambda: forged({"kid": "k"}, groups(), b"x" * 256),
    "alg of a list": lambda: forged({"alg": ["RS256"], "kid": "k"}, groups(), b"x" * 256),
    "hmac": lambda: forged({"alg": "HS256", "kid": "k"}, groups(), b"x" * 32),
    "another algorithm": lambda: token("ES256", headers={"kid": "k"}, groups=["admins"]),
    "somebody else's key": lambda: token("RS256", 1, groups=["admins"]),
    "own key inside": lambda: token("RS256", 1, headers={"jwk": public("RS256", 1)}, groups=["admins"]),
    "address of a key": lambda: token("RS256", 1, headers={"jku": "http://127.0.0.1:1/keys"}, groups=["admins"]),
    "a path as the key's id": lambda: token(headers={"kid": "../../../dev/null"}, groups=["admins"]),
    "expired": lambda: token(groups=["admins"], exp=int(time.time()) - 100),
    "not yet": lambda: token(groups=["admins"], nbf=int(time.time()) + 100),
    "without an end": lambda: token(groups=["admins"], exp=None),
    "an end that is text": lambda: token(groups=["admins"], exp="soon"),
    "another audience": lambda: token(groups=["admins"], aud="elsewhere"),
    "another issuer": lambda: token(groups=["admins"], iss="https://evil.example"),
    "no groups": lambda: token(sub="groupless"),
    "a group that begins so": lambda: token(groups=["admins2", "Admins", " admins"]),
    "groups as an object": lambda: token(groups={"admins": True}),
    "a signature cut": lambda: token(groups=["admins"])[:-10],
    "two tokens": lambda: token(groups=["admins"]) + "." + token(),
    "a newline in the subject": lambda: token(groups=["admins"], sub="a\nb"),
}


def groups() -> dict[str, object]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "exp": now + 600, "groups": ["admins"]}


HOSTILE: dict[str, bytes] = {
    **{f"value: {name}": shown(value) for name, value in VALUES.items()},
    **{f"header: {name}": asking(b"/v1/buses", *headers) for name, headers in HEADERS.items()},
    **{f"target: {name}": asking(target) for name, target in TARGETS.items()},
    **{f"method: {name}": sent for name, sent in METHODS.items()},
    **{f"smuggled: {name}": sent for name, sent in SMUGGLED.items()},
}


class Attacked:
    def __init__(self, bus: LockedBus) -> None:
        self.bus = bus
        key = bus.admin
        off = key[:-1] + ("0" if key[-1] != "0" else "1")
        self._narrow = bus.key(Scope.READ, buses=("default",))
        self._words = {
            b"NARROW": self._narrow.encode(),
            b"B64KEY": base64.b64encode(key.encode()),
            b"DIGEST": hashlib.sha256(key.encode()).hexdigest().encode(),
            b"BIG": key.upper().encode(),
            b"CUT": key[:-1].encode(),
            b"OFF": off.encode(),
            b"KEY": key.encode(),
            b"ID": key[3:11].encode(),
        }
        self._before = self._held()

    def _held(self) -> tuple[int, int]:
        yard = self.bus.door.yard
        return len(yard.access_keys()), len(yard.buses())

    def meant(self, pattern: bytes) -> bytes:
        for word, meant in self._words.items():
            pattern = pattern.replace(word, meant)
        return pattern

    def send(self, sent: bytes) -> bytes:
        """All that is answered until the bus ends the connection."""
        received = b""
        with self.bus.door.connect() as connection:
            connection.settimeout(WAIT_S)
            try:
                connection.sendall(sent)
                while part := connection.recv(65_536):
                    received += part
            except (ConnectionResetError, BrokenPipeError):
                pass
            except TimeoutError:
                pytest.fail(f"it stays open and says {received!r}")
        return received

    def check(self, received: bytes, *, is_first_good: bool = False) -> None:
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
        assert set(statuses[1 if is_first_good else 0 :]) <= REFUSALS, received
        assert b'"keys":[' not in received
        for secret in (self.bus.admin[12:], self._narrow[12:], hashlib.sha256(self.bus.admin.encode()).hexdigest()):
            assert secret.encode() not in received
        assert self._held() == self._before
        assert self.bus.ask("GET", "/v1/buses", self.bus.admin).status_code == 200


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    file = tmp_path_factory.mktemp("issuer") / "jwks.json"
    file.write_bytes(jwks())
    policy = Policy(ISSUER, (AUDIENCE,), ("RS256",), "groups", {"admins": EVERYTHING})
    issuer = Issuer(policy, FileKeys(Path(file), policy.algorithms), lambda: int(time.time() * 1000))
    with locked_bus(issuer) as bus:
        yield Attacked(bus)


def test_there_are_a_hundred_and_more() -> None:
    assert len(HOSTILE) + len(TOKENS) >= 150


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_and_changes_nothing(attacked: Attacked, name: str) -> None:
    received = attacked.send(attacked.meant(HOSTILE[name]))
    attacked.check(received, is_first_good=name == "smuggled: behind a good request")
    assert received.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("name", TOKENS)
def test_a_hostile_token_opens_nothing(attacked: Attacked, name: str) -> None:
    received = attacked.send(shown(b"Bearer " + TOKENS[name]().encode()))
    attacked.check(received)
    assert received.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 403 "))


def test_a_good_token_would_open_it(attacked: Attacked) -> None:
    """What the others are one step away from; so it is not for another reason that they fail."""
    assert attacked.send(shown(b"Bearer " + token(groups=["admins"]).encode())).startswith(b"HTTP/1.1 200 ")
    assert attacked.send(attacked.meant(shown(b"Bearer KEY"))).startswith(b"HTTP/1.1 200 ")
    assert attacked.send(attacked.meant(shown(b"bEaReR KEY"))).startswith(b"HTTP/1.1 200 ")


def test_many_who_guess_learn_nothing_and_keep_nobody_out(attacked: Attacked) -> None:
    """Every last digit of a key that is right but for it is answered alike, word for word."""
    key = attacked.bus.admin
    answers = {
        attacked.bus.ask("GET", "/v1/buses", key[:at] + digit + key[at + 1 :]).text
        for at in (3, 12, 40, 75)
        for digit in "0123456789abcdef"
        if digit != key[at]
    }
    assert len(answers) == 1
    attacked.check(b"")


def test_a_caller_that_hangs_up_before_its_answer_harms_nobody(attacked: Attacked) -> None:
    for sent in (b"", b"GET", attacked.meant(asking(b"/v1/buses", b"Authorization: Bearer KEY"))[:-4], asking()):
        with socket.create_connection((attacked.bus.door.host, attacked.bus.door.port)) as connection:
            connection.sendall(sent)
    attacked.check(b"")


def test_a_token_in_the_wrong_place_is_not_a_key(attacked: Attacked) -> None:
    for value in (b"Basic " + token(groups=["admins"]).encode(), token(groups=["admins"]).encode()):
        attacked.check(attacked.send(shown(value)))
