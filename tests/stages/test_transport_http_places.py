"""Where a push may go, what may be sent there, and whom it believes."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import msgspec
import pytest

from eventyard.core import limits
from eventyard.core.network import Address, Policy
from eventyard.transports.http import HttpTransport
from tests.support import targets
from tests.support.pushes import HOME, Answers, named, push, request_to
from tests.support.targets import WAIT_S, Target


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(HOME)
    yield transport
    transport.close()


# Where a push may go


def test_a_forbidden_address_is_refused_and_nothing_connects() -> None:
    with Target(targets.answers()) as target, closing(HttpTransport(Policy())) as transport:
        answer = push(transport, request_to(target.url))
    assert (answer.status, answer.is_refused) == (0, True)
    assert answer.failure == "address 127.0.0.1 is forbidden: loopback (127.0.0.0/8)"
    assert target.connections == 0


class Asked:
    """A resolver that answers from a list, the last answer for ever, and counts."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.count = 0

    def __call__(self, _host: str) -> tuple[str, ...]:
        self.count += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def test_a_name_leads_where_our_resolver_says_and_libcurl_asks_nobody() -> None:
    resolve = Asked(("127.0.0.1",))
    with Target(targets.answers()) as target, closing(HttpTransport(HOME, resolve=resolve)) as transport:
        assert push(transport, request_to(named(target))).status == 200
        assert push(transport, request_to(named(target))).status == 200
    assert target.requests[0].headers["host"] == f"shop.invalid:{target.port}"
    assert resolve.count == 1


def test_the_next_address_is_tried_when_the_first_does_not_listen() -> None:
    with Target(targets.answers()) as target, closing(HttpTransport(HOME, resolve=Asked(("::1", "127.0.0.1")))) as transport:
        assert push(transport, request_to(named(target))).status == 200


def test_one_forbidden_address_of_a_name_refuses_them_all() -> None:
    with (
        Target(targets.answers()) as target,
        closing(HttpTransport(HOME, resolve=Asked(("127.0.0.1", "10.0.0.1")))) as transport,
    ):
        answer = push(transport, request_to(named(target)))
    assert (answer.is_refused, answer.failure) == (True, "address 10.0.0.1 is forbidden: private (10.0.0.0/8)")
    assert target.connections == 0


def test_a_name_that_changes_to_a_forbidden_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESOLVER_TTL_S", 0.0)
    policy = Policy(allowed=(IPv4Network("127.0.0.1/32"),))
    with (
        Target(targets.answers()) as target,
        closing(HttpTransport(policy, resolve=Asked(("127.0.0.1",), ("127.0.0.2",)))) as transport,
    ):
        assert push(transport, request_to(named(target))).status == 200
        assert push(transport, request_to(named(target))).is_refused
    assert len(target.requests) == 1


class Fickle(Policy, frozen=True):
    """Allows everything once, as if the address had changed between the check and the connect."""

    seen: list[Address] = msgspec.field(default_factory=list)

    def verdict(self, address: Address) -> str | None:
        self.seen.append(address)
        return None if len(self.seen) == 1 else "changed its mind"


def test_the_address_of_the_socket_itself_is_judged_again() -> None:
    policy = Fickle()
    with Target(targets.answers()) as target, closing(HttpTransport(policy, resolve=Asked(("127.0.0.1",)))) as transport:
        answer = push(transport, request_to(named(target)))
    assert (answer.is_refused, answer.failure) == (True, "address 127.0.0.1 is forbidden: changed its mind")
    assert policy.seen == [ip_address("127.0.0.1")] * 2
    assert target.connections == 0


def test_an_unknown_name_is_a_failure_and_not_a_refusal() -> None:
    def nowhere(_host: str) -> tuple[str, ...]:
        raise OSError

    with closing(HttpTransport(HOME, resolve=nowhere)) as transport:
        answer = push(transport, request_to("http://shop.invalid/"))
    assert (answer.failure, answer.is_refused) == ("the name shop.invalid was not found", False)


def test_a_resolver_that_raises_anything_gives_a_failure() -> None:
    def broken(_host: str) -> tuple[str, ...]:
        raise ZeroDivisionError

    with closing(HttpTransport(HOME, resolve=broken, resolver_threads=1)) as transport:
        assert push(transport, request_to("http://one.invalid/")).failure == "the name one.invalid was not found"
        assert push(transport, request_to("http://two.invalid/")).failure == "the name two.invalid was not found"


def test_a_lookup_that_hangs_times_out_and_holds_up_no_other_push() -> None:
    release = threading.Event()

    def slow(host: str) -> tuple[str, ...]:
        if host == "slow.invalid":
            release.wait(WAIT_S)
        return ("127.0.0.1",)

    late = Answers()
    with Target(targets.answers()) as target, closing(HttpTransport(HOME, resolve=slow)) as transport:
        for _ in range(3):
            transport.send(request_to(named(target, "slow.invalid"), timeout_s=0.3), late.put)
        assert push(transport, request_to(named(target))).status == 200
        assert {answer.failure for answer in late.next_many(3)} == {"timed out after 0.3 s"}
        release.set()
        assert push(transport, request_to(named(target, "slow.invalid"))).status == 200


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with Target(targets.answers(502)) as proxy, Target(targets.answers()) as target:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        with closing(HttpTransport(HOME)) as transport:
            assert push(transport, request_to(target.url)).status == 200
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://a:hunter2@127.0.0.1/", "http://127.0.0.1/\r\nx"]
)
def test_a_url_of_another_form_is_a_failure_without_its_secrets(transport: HttpTransport, url: str) -> None:
    answer = push(transport, request_to(url))
    assert (answer.status, answer.is_refused) == (0, False)
    assert answer.failure.startswith("the URL is not one to call")
    assert "hunter2" not in answer.failure


# What may be sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x-a", "\x00"), ("x-a", "\x7f"), ("x-a", "ü"), ("x-a", "\u2028")),
        *(("x a", "1"), ("x-a\r\nx-b", "1"), ("", "1"), ("x:", "1"), ("ü", "1"), ("x-a\n", "1")),
        *(
            ("Content-Length", "0"),
            ("transfer-encoding", "chunked"),
            ("Host", "other"),
            ("connection", "close"),
            ("expect", "100"),
        ),
    ],
)
def test_a_header_that_would_break_the_message_is_not_sent(transport: HttpTransport, name: str, value: str) -> None:
    with Target(targets.answers()) as target:
        answer = push(transport, request_to(target.url, headers=((name, value),)))
        assert "header" in answer.failure
        assert push(transport, request_to(target.url)).status == 200
    assert len(target.requests) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for shop.invalid that signs itself, with its key, in one file."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    options = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=shop.invalid",
    ]
    names = ["-addext", "subjectAltName=DNS:shop.invalid"]
    subprocess.run([openssl, *options, *names, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.mark.parametrize(
    ("host", "is_trusted", "status"),
    [("shop.invalid", True, 200), ("other.invalid", True, 0), ("shop.invalid", False, 0)],
)
def test_a_certificate_must_be_trusted_and_name_the_host(certificate: Path, host: str, is_trusted: bool, status: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    ca_file = f"{certificate}.crt" if is_trusted else ""
    transport = HttpTransport(HOME, resolve=Asked(("127.0.0.1",)), ca_file=ca_file)
    with Target(targets.answers(), tls=context) as target, closing(transport):
        answer = push(transport, request_to(f"https://{host}:{target.port}/"))
    assert answer.status == status
    assert answer.failure.startswith("TLS: ") == (status == 0)
    assert len(target.requests) == (1 if status else 0)
