"""A server that is given secrets, and everything that it ever writes or says: none of it holds one in clear.

It is made to talk: debug lines, rules put well and badly, targets that refuse, dead letters, explanations, streams, metrics, figures, a
backup, a rotation, a crash. Then every file, line and answer is read.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import httpx
import pytest

TOKEN = "Bearer vzv9-hunter2-Zq7"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PASSWORD = "pw-8jQ2_4fT7x"
OTHER = "tok_9f3b_Kx=/+ 77"
WAIT_S = 30.0


class Refusing(BaseHTTPRequestHandler):
    """A target that takes nothing, and remembers which tokens it was shown."""

    shown: set[str | None]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.shown.add(self.headers["authorization"])
        self.send_response(422)
        self.end_headers()
        self.wfile.write(b"no good")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def target() -> Iterator[ThreadingHTTPServer]:
    Refusing.shown = set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = False  # So that closing it waits for their sockets to be closed.
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Talker:
    """Talks to the server and keeps every byte of every answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[bytes] = []
        self.key = ""

    def __call__(self, method: str, path: str, document: Any = None, *, is_heard: bool = True) -> Any:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        answer = httpx.request(method, self.url + path, json=document, headers=headers, timeout=WAIT_S)
        if is_heard:
            self.heard.append(answer.content + repr(answer.headers.raw).encode())
        return json.loads(answer.content) if answer.headers.get("content-type") == "application/json" else answer.text

    def until(self, path: str, is_so: Any) -> Any:
        ends = time.monotonic() + WAIT_S
        while not is_so(found := self("GET", path)):
            assert time.monotonic() < ends, found
            time.sleep(0.05)
        return found


def spellings(secret: str) -> list[bytes]:
    """As it is, and as it would look in base64 (at any offset), percent-encoding or JSON."""
    encoded = [base64.b64encode(b"x" * shift + secret.encode()).rstrip(b"=")[4:-2] for shift in range(3)]
    return [secret.encode(), quote(secret).encode(), json.dumps(secret)[1:-1].encode(), *encoded]


def test_whatever_a_server_writes_or_says_holds_no_secret(tmp_path: Path, target: ThreadingHTTPServer) -> None:
    data, log, key_file = tmp_path / "data", tmp_path / "log", tmp_path / "elsewhere" / "secrets.key"
    port = _free_port()
    talk = Talker(f"http://127.0.0.1:{port}")
    with log.open("wb") as lines:
        for number in range(2):
            server = _serve(data, key_file, port, lines)
            try:
                _until_ready(talk)
                _story(talk, target, tmp_path, data, number)
                (tmp_path / f"files-{number}").write_bytes(b"".join(path.read_bytes() for path in _files(data)))
            finally:
                server.send_signal((signal.SIGKILL, signal.SIGTERM)[number])
                server.wait(WAIT_S)
    assert {TOKEN, OTHER} <= Refusing.shown
    opened = key_file.read_text().splitlines()[-1].split()[1]
    secrets = [TOKEN, OTHER, SIGNING.removeprefix("whsec_"), PASSWORD, talk.key.rsplit("_", 1)[-1], opened]
    written = {str(path): path.read_bytes() for path in _files(tmp_path) if path != key_file}
    written["answers"] = b"\n".join(talk.heard)
    found = [(name, secret) for name, content in written.items() for secret in secrets if _holds(content, secret)]
    assert found == []
    assert b"secret-rule" in log.read_bytes(), "the log tells of these rules, or this test looks at nothing"
    assert any(b'"secret":null' in answer for answer in talk.heard)


def _story(talk: Talker, target: ThreadingHTTPServer, folder: Path, data: Path, number: int) -> None:
    url, rules = f"http://127.0.0.1:{target.server_port}/in", "/v1/buses/default/rules"
    http = {
        "url": url,
        "headers": {"authorization": {"secret": TOKEN if number else OTHER}, "x-tenant": "acme"},
        "signing": {"secrets": [{"secret": SIGNING}]},
    }
    basic = {"basic": {"username": "shop", "password": {"secret": PASSWORD}}}
    oauth2 = {"oauth2": {"token_url": url, "client_id": "shop", "client_secret": {"secret": PASSWORD}}}
    rule = {"pattern": {"type": ["order.paid"]}, "target": {"http": http}}
    name = f"secret-rule-{number}"
    if not talk.key:
        talk.key = talk(
            "POST", "/v1/keys", {"name": "all", "scopes": ["publish", "consume", "manage", "read"]}, is_heard=False
        )["key"]
    talk("PUT", f"{rules}/{name}", rule)
    talk("PUT", f"{rules}/{name}", {**rule, "nonsense": True})
    talk("PUT", f"{rules}/{name}", {**rule, "description": "changed"})
    talk(
        "PUT",
        f"{rules}/bad",
        {"pattern": {"type": ["x"]}, "target": {"http": {**http, "headers": {"host": {"secret": TOKEN}}}}},
    )
    talk(
        "PUT",
        f"{rules}/worse",
        {"pattern": {"type": ["x"]}, "target": {"http": {**http, "headers": {"x-a": {"secret": TOKEN + "\n"}}}}},
    )
    for signing in (SIGNING, [SIGNING], {"secrets": [SIGNING]}, {"secrets": [{"secret": SIGNING + "\n"}]}):
        talk("PUT", f"{rules}/worst", {"pattern": {"type": ["x"]}, "target": {"http": {**http, "signing": signing}}})
    for said in (basic, oauth2, PASSWORD, {"bearer": PASSWORD}, {"bearer": {"secret": PASSWORD + " "}}, {**basic, **oauth2}):
        logs_in = {"url": url, "auth": said}
        talk("PUT", f"{rules}/in", {"pattern": {"type": ["order.paid"]}, "target": {"http": logs_in}})
    event = {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order.paid"}
    position = _publish(talk, event)
    talk.until(f"{rules}/{name}/status", lambda status: status["dead"] >= 1)
    for path in (
        f"{rules}/{name}",
        rules,
        f"{rules}/{name}/dead-letters",
        "/v1/buses/default/events",
        "/metrics",
        "/readyz",
        "/v1/keys",
    ):
        talk("GET", path)
    talk("GET", f"/v1/buses/default/events/{position}/explain")
    talk("POST", f"{rules}/{name}/dead-letters/redrive", {"all": True, "target": {"http": {**http, "url": url + "/trial"}}})
    talk("POST", "/v1/secrets/rotate", {"forget_old": bool(number)})
    talk("POST", f"{rules}/{name}/dead-letters/redrive", {"all": True})
    talk.until(f"{rules}/{name}/status", lambda status: status["dead"] >= 1)
    backup = [sys.executable, "-m", "eventyard", "backup", str(folder / f"backup-{number}.db"), "--data", str(data)]
    ended = subprocess.run(backup, capture_output=True, timeout=WAIT_S, check=True)
    talk.heard.append(ended.stdout + ended.stderr)


def _publish(talk: Talker, event: Any) -> int:
    answer = httpx.post(
        f"{talk.url}/v1/buses/default/events",
        content=json.dumps(event),
        headers={"content-type": "application/cloudevents+json", "authorization": f"Bearer {talk.key}"},
        timeout=WAIT_S,
    )
    talk.heard.append(answer.content)
    return int(answer.json()["position"])


def _serve(data: Path, key_file: Path, port: int, lines: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "eventyard", "serve", "--port", str(port), "--data", str(data), "--log-level", "debug"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")}
    return subprocess.Popen(
        command, stdout=lines, stderr=lines, env={**environment, "EVENTYARD_SECRETS_KEY_FILE": str(key_file)}
    )


def _until_ready(talk: Talker) -> None:
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        try:
            httpx.get(f"{talk.url}/healthz", timeout=1)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server did not start")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _holds(content: bytes, secret: str) -> bool:
    return any(spelling in content for spelling in spellings(secret))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
