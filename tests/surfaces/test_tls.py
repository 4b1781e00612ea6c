"""TLS: by certificate and key files, read again on SIGHUP while connections go on; spoken by the client, commands and workers."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import eventyard
from eventyard.cli import run
from eventyard.client import AsyncClient, Client, Unreachable
from eventyard.core.errors import InvalidSettings
from eventyard.settings import load
from eventyard.surfaces.http import Certificates
from tests.support.certificates import Pair, make_pair

WAIT_S = 20.0
START = """
import sys
from eventyard.serve import serve
from eventyard.settings import Settings
sys.exit(serve(Settings(port=0, data=sys.argv[1], tls_certificate=sys.argv[2], tls_key=sys.argv[3], log_format="text")))
"""


class Served:
    """A server that speaks TLS, as a process. Its files are copies of `pair`, to be written over."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.pair = Pair(folder / "certificate.pem", folder / "key.pem")
        self.put(pair)
        environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
        command = [sys.executable, "-c", START, str(folder / "data"), *map(str, self.pair)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, env=environment
        )
        assert self.process.stdout
        assert self.process.stderr
        self.log = self.process.stderr
        self.said = [self.process.stdout.readline() for _ in range(4)]
        self.url = self.said[0].split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def put(self, pair: Pair) -> None:
        shutil.copyfile(pair.certificate, self.pair.certificate)
        shutil.copyfile(pair.key, self.pair.key)

    def reload(self) -> str:
        """The line that says what came of it."""
        self.process.send_signal(signal.SIGHUP)
        return next(line for line in self.log if " tls-" in line)

    def certificate(self, *, name: str | None = None) -> str:
        """What a new connection is shown, which names no host unless it is told to."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.port), WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as it,
        ):
            shown = it.getpeercert(binary_form=True)
        assert shown
        return ssl.DER_cert_to_PEM_cert(shown)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    folder = tmp_path_factory.mktemp("tls")
    return make_pair(folder, "first"), make_pair(folder, "second")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pairs: tuple[Pair, Pair]) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"), pairs[0])
    yield served
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(WAIT_S) == 0
    served.process.communicate()


def trusting(pair: Pair) -> httpx.Client:
    return httpx.Client(verify=ssl.create_default_context(cafile=str(pair.certificate)), timeout=WAIT_S)


def shown(pair: Pair) -> str:
    return pair.certificate.read_text()


def test_a_server_with_a_certificate_says_https_and_speaks_it(server: Served, pairs: tuple[Pair, Pair]) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    with trusting(pairs[0]) as http:
        assert http.get(f"{server.url}/healthz").json() == {"alive": True}


def test_a_client_trusts_a_certificate_that_its_file_vouches_for_and_no_other(server: Served, pairs: tuple[Pair, Pair]) -> None:
    with Client(server.url, ca_file=str(pairs[0].certificate)) as client:
        assert client.publish(type="t", source="/s", id="sync").position >= 1
    for ca_file in ("", str(pairs[1].certificate)):
        with Client(server.url, ca_file=ca_file, timeout_s=5) as client, pytest.raises(Unreachable, match=r"(?i)certificate"):
            client.send(Client.ready())


def test_an_async_client_does_too_and_follows_what_comes(server: Served, pairs: tuple[Pair, Pair]) -> None:
    async def followed() -> list[str]:
        async with AsyncClient(server.url, ca_file=str(pairs[0].certificate)) as client:
            begins_after = (await client.publish(type="t", source="/s", id="async")).position
            feed = client.follow(after=begins_after)
            ids = []
            for number in range(3):
                await client.publish(type="t", source="/s", id=f"followed-{number}", data="x" * 300_000)
                ids.append((await anext(feed)).event["id"])
            return ids

    assert asyncio.run(followed()) == ["followed-0", "followed-1", "followed-2"]


def test_commands_do_by_an_option_or_a_variable(
    server: Served, pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENTYARD_URL", server.url)
    assert run(["buses", "list"]) == 4
    assert run(["buses", "list", "--ca-file", str(pairs[0].certificate)]) == 0
    monkeypatch.setenv("EVENTYARD_CA_FILE", str(pairs[0].certificate))
    assert run(["buses", "list"]) == 0
    assert run(["buses", "list", "--ca-file", str(pairs[0].key)]) == 2
    assert "wanted certificates as PEM" in capsys.readouterr().err


def test_a_worker_does(server: Served, pairs: tuple[Pair, Pair]) -> None:
    command = [sys.executable, "-m", "eventyard", "worker", "--server", server.url, "--ca-file", str(pairs[0].certificate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith("Pushing for the server") for line in process.stdout)
        process.kill()


def test_a_new_certificate_is_shown_from_the_signal_on_and_connections_go_on(server: Served, pairs: tuple[Pair, Pair]) -> None:
    first, second = pairs
    with trusting(first) as http:
        http.get(f"{server.url}/healthz")
        server.put(second)
        assert server.certificate() == shown(first)
        assert "tls-reloaded" in server.reload()
        assert server.certificate() == shown(second)
        assert server.certificate(name="localhost") == shown(second)
        # A new connection would not trust the second one.
        assert http.get(f"{server.url}/healthz").status_code == 200
    server.put(first)
    assert "tls-reloaded" in server.reload()
    assert server.certificate() == shown(first)


def test_a_pair_that_does_not_fit_changes_nothing(server: Served, pairs: tuple[Pair, Pair]) -> None:
    first, second = pairs
    for certificate, key in ((second.certificate, first.key), (first.certificate, first.certificate)):
        shutil.copyfile(certificate, server.pair.certificate)
        shutil.copyfile(key, server.pair.key)
        assert "tls-kept" in server.reload()
        assert server.certificate() == shown(first)
    server.pair.certificate.unlink()
    assert "tls-kept" in server.reload()
    server.put(first)


def test_what_speaks_no_tls_gets_nothing_and_harms_nothing(server: Served, pairs: tuple[Pair, Pair]) -> None:
    for sent in (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""):
        with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as plain:
            plain.sendall(sent)
            plain.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: plain.recv(4096), b""))
        assert b"HTTP/1.1 200" not in received
    with trusting(pairs[0]) as http:
        assert http.get(f"{server.url}/healthz").status_code == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_sound_are_spoken(server: Served, pairs: tuple[Pair, Pair], version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(pairs[0].certificate))
    context.minimum_version = context.maximum_version = version
    with httpx.Client(verify=context) as http:
        assert http.get(f"{server.url}/healthz").status_code == 200


def test_a_refusal_can_be_read_over_tls(server: Served, pairs: tuple[Pair, Pair]) -> None:
    """Where the connection ends with it: a head past its bound, a body past its bound, what is no HTTP."""
    event = {"content-type": "application/cloudevents+json"}
    with trusting(pairs[0]) as http:
        assert http.get(f"{server.url}/", headers={"x": "y" * 70_000}).status_code == 431
    with trusting(pairs[0]) as http:
        assert http.post(f"{server.url}/v1/buses/default/events", content=bytes(2_000_000), headers=event).status_code == 413
    context = ssl.create_default_context(cafile=str(pairs[0].certificate))
    with (
        socket.create_connection(("127.0.0.1", server.port), WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as it,
    ):
        it.sendall(b"nonsense\r\n\r\n")
        assert it.recv(4096).startswith(b"HTTP/1.1 400 ")


# What it does not start with


def test_one_file_alone_is_refused() -> None:
    with pytest.raises(InvalidSettings) as refused:
        load({"tls_certificate": "a.pem"}, environment={})
    assert refused.value.at == "tls-key"


def test_files_that_are_no_pair_are_refused_at_the_start(tmp_path: Path, pairs: tuple[Pair, Pair]) -> None:
    for pair in (
        Pair(pairs[0].certificate, pairs[1].key),
        Pair(tmp_path / "none", pairs[0].key),
        Pair(pairs[0].key, pairs[0].key),
    ):
        with pytest.raises(InvalidSettings, match="as PEM"):
            Certificates(*pair)


def test_a_key_with_a_password_is_refused_and_nobody_asked(tmp_path: Path, pairs: tuple[Pair, Pair]) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", str(pairs[0].key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(InvalidSettings, match="a password protects"):
        Certificates(pairs[0].certificate, locked)
