"""Tokens of an issuer: which are taken, what their claims come to here, and how its public keys are had, kept and renewed."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from eventyard import entrance
from eventyard.core import limits
from eventyard.core.access import Caller, Grant, Scope
from eventyard.core.errors import InvalidSettings, IssuerAway, Unauthenticated
from eventyard.issuer import FetchedKeys, FileKeys, Issuer, Policy
from eventyard.settings import load
from tests.support.buses import composed
from tests.support.tokens import AUDIENCE, ISSUER, claims, encoded, forged, jwks, private_key, public, token

ALGORITHMS = ("RS256", "ES256", "EdDSA")
READ, SHOP = Grant((Scope.READ,)), Grant((Scope.PUBLISH,), ("shop",), "/shop/")
POLICY = Policy(ISSUER, (AUDIENCE, "another"), ALGORITHMS, "scope", {"events:read": READ, "events:shop": SHOP}, 30.0)
URL = "https://issuer.example/keys"


def now_ms() -> int:
    return int(time.time() * 1000)


def issuer(folder: Path, *entries: dict[str, Any], policy: Policy = POLICY) -> Issuer:
    file = folder / "jwks.json"
    file.write_bytes(jwks(*entries))
    return Issuer(policy, FileKeys(file, policy.algorithms), now_ms)


def identified(of: Issuer, text: str) -> Caller:
    return asyncio.run(of.identify(text.encode()))


def refused(of: Issuer, text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        identified(of, text)
    assert caught.value.wanted
    return caught.value.found


# What counts


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_token_of_the_issuer_says_who_sent_it_and_until_when(tmp_path: Path, kind: str) -> None:
    expires = int(time.time()) + 600
    caller = identified(issuer(tmp_path, public(kind)), token(kind, exp=expires))
    assert caller == Caller("jwt:me", (READ,), (expires + 30) * 1000)


def test_the_words_of_its_claim_become_grants(tmp_path: Path) -> None:
    of = issuer(tmp_path)
    assert identified(of, token(scope="events:shop profile events:read")).grants == (READ, SHOP)
    assert identified(of, token(scope=["events:shop", 7])).grants == (SHOP,)
    nothings: tuple[Any, ...] = ("profile", "events:readers", "EVENTS:READ", "", [], 7, None, {"events:read": True})
    for nothing in nothings:
        assert identified(of, token(scope=nothing)).grants == ()


def test_a_claim_is_found_by_its_path_or_by_its_whole_name(tmp_path: Path) -> None:
    def under(path: str, **changes: Any) -> tuple[Grant, ...]:
        policy = Policy(ISSUER, (AUDIENCE,), ALGORITHMS, path, {"admins": READ})
        return identified(issuer(tmp_path, policy=policy), token(**changes)).grants

    assert under("realm_access.roles", realm_access={"roles": ["admins"]}) == (READ,)
    assert under("https://issuer.example/groups", **{"https://issuer.example/groups": ["admins"]}) == (READ,)
    assert under("realm_access.roles", realm_access="admins") == ()


def test_one_of_several_audiences_is_enough(tmp_path: Path) -> None:
    assert identified(issuer(tmp_path), token(aud=["elsewhere", "another"])).principal == "jwt:me"


def test_clocks_may_differ_by_the_leeway_and_no_more(tmp_path: Path) -> None:
    of, now = issuer(tmp_path), int(time.time())
    assert identified(of, token(exp=now - 20)).principal
    assert identified(of, token(nbf=now + 20, iat=now + 20)).principal
    assert "expired" in refused(of, token(exp=now - 40))
    assert "yet to come" in refused(of, token(nbf=now + 60))
    assert "yet to come" in refused(of, token(iat=now + 60))


# What does not


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"aud": "elsewhere"}, "another audience"),
        ({"aud": []}, "lacks one of"),
        ({"aud": [AUDIENCE.upper()]}, "another audience"),
        ({"exp": None}, "lacks one of"),
        ({"aud": None}, "lacks one of"),
        ({"iss": None}, "lacks one of"),
        ({"sub": None}, "lacks one of"),
        ({"sub": ""}, "without a subject"),
        ({"sub": "x" * (limits.SUBJECT_MAX + 1)}, "without a subject"),
        ({"sub": "me\nkey:0/admin"}, "without a subject"),
        ({"exp": 0}, "expired"),
    ],
)
def test_a_token_of_others_for_others_or_without_an_end_does_not_count(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    assert why in refused(issuer(tmp_path), token(**change))


def test_a_token_that_nobody_signed_does_not_count(tmp_path: Path) -> None:
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, 0, ["RS256"], {"alg": "RS256"}):
        for signature in (b"", b"x"):
            refused(issuer(tmp_path), forged({"alg": algorithm, "kid": "k"}, signature=signature))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret_to_sign_by(tmp_path: Path, algorithm: str) -> None:
    """Algorithm confusion: the issuer's public key, which all know, used as the secret of an HMAC."""
    entry = public("RS256", alg=None)
    of = issuer(tmp_path, entry)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - here alone

    key = private_key("RS256").public_key()
    for secret in (key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), entry["n"].encode()):
        unsigned = forged({"alg": algorithm, "kid": "k"}).rstrip(".")
        signature = hmac.new(secret, unsigned.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
        assert "another algorithm" in refused(of, f"{unsigned}.{encoded(signature)}")


def test_a_symmetric_key_in_the_set_is_none(tmp_path: Path) -> None:
    secret = {"kty": "oct", "k": encoded(b"x" * 64), "kid": "k", "alg": "HS256"}
    of = issuer(tmp_path, public("RS256", key_id="other"), secret)
    refused(of, jwt.encode(claims(), b"x" * 64, algorithm="HS256", headers={"kid": "k"}))


def test_an_algorithm_that_is_not_pinned_does_not_count_even_with_a_key_for_it(tmp_path: Path) -> None:
    policy = Policy(ISSUER, (AUDIENCE,), ("ES256",), "scope", {})
    of = issuer(tmp_path, public("ES256", key_id="e"), public("RS256"), policy=policy)
    assert "another algorithm" in refused(of, token("RS256"))


def test_a_key_is_used_for_its_own_algorithm_alone(tmp_path: Path) -> None:
    of = issuer(tmp_path, public("RS256"), public("ES256", key_id="e"))
    refused(of, token("ES256", headers={"kid": "k"}))
    refused(of, token("RS256", headers={"kid": "e"}))


def test_keys_inside_a_token_are_not_looked_at(tmp_path: Path) -> None:
    of = issuer(tmp_path)
    own = public("RS256", 1)
    for header in ({"jwk": own}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example"}, {"x5c": ["MIIB"]}):
        assert "its signature" in refused(of, token("RS256", 1, headers=header))


@pytest.mark.parametrize("key_id", ["other", "", "../k", "k\x00", "K", "k' OR '1'='1", "x" * 5_000])
def test_an_id_of_a_key_that_there_is_none_of_opens_nothing(tmp_path: Path, key_id: str) -> None:
    assert "no key of the issuer" in refused(issuer(tmp_path), token(headers={"kid": key_id}))


def test_a_token_that_was_changed_does_not_count(tmp_path: Path) -> None:
    of = issuer(tmp_path)
    head, body, signature = token().split(".")
    grand = encoded(str(claims(sub="admin")).replace("'", '"').encode())
    for text in (f"{head}.{grand}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}.", f"{head}.{body}"):
        refused(of, text)
    assert identified(of, f"{head}.{body}.{signature}")


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "a.b.c", "....", "ey.ey.ey", "\x00", "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA", "W10.W10.W10", "a" * 8_000, "é.é.é"]
)  # fmt: skip
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    refused(issuer(tmp_path), text)


def test_a_token_with_a_demand_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    headers: tuple[dict[str, Any], ...] = ({"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False})
    for header in headers:
        refused(issuer(tmp_path), token(headers=header))


def test_a_key_that_is_too_short_vouches_for_nobody(tmp_path: Path) -> None:
    assert "too short" in refused(issuer(tmp_path, public("short")), token("short"))


def test_a_key_for_encryption_and_a_private_one_are_passed_over(tmp_path: Path) -> None:
    private = jwt.get_algorithm_by_name("RS256").to_jwk(private_key("RS256"), as_dict=True) | {"kid": "k", "use": "sig"}
    private.pop("key_ops")
    for entry in (public("RS256", use="enc"), private):
        refused(issuer(tmp_path, entry, public("ES256", key_id="e")), token())


def test_a_token_that_names_no_key_is_taken_where_there_is_one_for_it(tmp_path: Path) -> None:
    alone = issuer(tmp_path, public("RS256", key_id=None), public("ES256", key_id="e"))
    nameless = jwt.encode(claims(), private_key("RS256"), algorithm="RS256")
    assert identified(alone, nameless)
    refused(issuer(tmp_path, public("RS256"), public("RS256", 1, key_id="two")), nameless)


def test_a_token_that_was_seen_before_ends_all_the_same(tmp_path: Path) -> None:
    ahead = 0
    of = issuer(tmp_path)
    of._now_ms = lambda: now_ms() + ahead
    text = token(exp=int(time.time()) + 600)
    assert identified(of, text)
    ahead = 700_000
    assert "expired" in refused(of, text)


def test_tokens_that_are_remembered_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS_KNOWN_MAX", 3)
    of = issuer(tmp_path)
    for number in range(5):
        identified(of, token(sub=f"s{number}"))
    assert len(of._known) == 3


# Keys of a file


def test_keys_of_a_file_are_read_again_when_it_is_asked_for(tmp_path: Path) -> None:
    of = issuer(tmp_path)
    before, after = token(), token("RS256", 1)
    assert identified(of, before)
    (tmp_path / "jwks.json").write_bytes(jwks(public("RS256", 1)))
    of.reload()
    assert identified(of, after)
    refused(of, before)  # Although it was remembered: its key is gone.


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"keys": []}', b'{"keys": [7]}', b'{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}']
)
def test_a_file_without_keys_changes_nothing_and_starts_nothing(tmp_path: Path, text: bytes) -> None:
    of = issuer(tmp_path)
    (tmp_path / "jwks.json").write_bytes(text)
    with pytest.raises(InvalidSettings) as caught:
        of.reload()
    assert caught.value.at == "jwt-keys"
    assert identified(of, token())


def test_a_set_is_bounded(tmp_path: Path) -> None:
    for entries in (
        [public("ES256", key_id=str(n)) for n in range(limits.JWKS_KEYS_MAX + 1)],
        [public("ES256", pad="x" * limits.JWKS_BYTES_MAX)],
    ):
        with pytest.raises(InvalidSettings):
            issuer(tmp_path, *entries)


# Keys of an address


def told(text: bytes) -> httpx.Response:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 50_000):
            yield text[start : start + 50_000]

    return httpx.Response(200, content=parts())


class Address:
    """Answers for the pinned address, and counts who asks."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.answer: Callable[[], httpx.Response] = lambda: told(jwks(*entries))
        self.asked: list[str] = []
        self.at_s = 1_000.0
        self.source = FetchedKeys(URL, ALGORITHMS, transport=httpx.MockTransport(self._answer), now_s=lambda: self.at_s)
        self.issuer = Issuer(POLICY, self.source, now_ms)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return self.answer()

    def away(self) -> httpx.Response:
        raise httpx.ConnectError("no route")


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(play())


def test_keys_are_fetched_once_for_many_who_ask_together() -> None:
    address = Address()

    async def play() -> None:
        callers = await asyncio.gather(*(address.issuer.identify(token(sub=f"s{n}").encode()) for n in range(5)))
        assert len({caller.principal for caller in callers}) == 5

    played(play)
    assert address.asked == [URL]


def test_a_new_key_of_the_issuer_is_found_when_a_token_names_it() -> None:
    address = Address()

    async def play() -> None:
        await address.issuer.identify(token().encode())
        address.answer = lambda: told(jwks(public("RS256"), public("RS256", 1, key_id="new")))
        address.at_s += limits.JWKS_RETRY_S + 1
        assert await address.issuer.identify(token("RS256", 1, headers={"kid": "new"}).encode())

    played(play)
    assert len(address.asked) == 2


def test_nonsense_makes_nobody_fetch_again_and_again() -> None:
    address = Address()

    async def play() -> None:
        for number in range(20):
            with pytest.raises(Unauthenticated):
                await address.issuer.identify(token(headers={"kid": f"k{number}"}).encode())

    played(play)
    assert len(address.asked) == 1


def test_an_issuer_that_is_away_at_first_is_said_to_be_and_asked_again_later() -> None:
    address = Address()
    there, address.answer = address.answer, address.away

    async def play() -> None:
        for _ in range(3):
            with pytest.raises(IssuerAway):
                await address.issuer.identify(token().encode())
        assert len(address.asked) == 1
        address.answer = there
        address.at_s += limits.JWKS_RETRY_S + 1
        assert await address.issuer.identify(token().encode())

    played(play)


def test_an_issuer_that_goes_away_changes_nothing_until_its_keys_are_too_old() -> None:
    address = Address()

    async def play() -> None:
        await address.issuer.identify(token().encode())
        address.answer = address.away
        address.at_s += limits.JWKS_FRESH_S + 1
        assert await address.issuer.identify(token(sub="later").encode())
        address.at_s += limits.JWKS_STALE_S
        with pytest.raises(IssuerAway):
            await address.issuer.identify(token(sub="last").encode())

    played(play)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(302, headers={"location": "https://evil.example/keys"}),
        lambda: httpx.Response(404, content=jwks()),
        lambda: told(b"x" * (limits.JWKS_BYTES_MAX + 1)),
        lambda: told(b"<html>"),
    ],
)
def test_what_is_no_set_of_keys_is_taken_for_none(answer: Callable[[], httpx.Response]) -> None:
    address = Address()
    address.answer = answer

    async def play() -> None:
        with pytest.raises(IssuerAway):
            await address.issuer.identify(token().encode())

    played(play)
    assert address.asked == [URL]


@pytest.mark.parametrize(
    "url", ["http://issuer.example/keys", "ftp://issuer.example", "https://", "http://127.0.0.1.evil.example/", "://"]
)
def test_an_address_that_anybody_could_answer_for_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings):
        FetchedKeys(url, ALGORITHMS)


# Settings

GIVEN = {
    "jwt_issuer": ISSUER,
    "jwt_audience": [AUDIENCE],
    "jwt_keys": "jwks.json",
    "jwt_grants": {"events:read": {"scopes": ["read"]}},
}


@pytest.mark.parametrize("name", GIVEN)
def test_all_that_tokens_are_checked_by_has_to_be_said(name: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load({key: value for key, value in GIVEN.items() if key != name}, environment={})
    assert caught.value.at == name.replace("_", "-")


def test_grants_can_stand_in_a_variable() -> None:
    environment = {
        "EVENTYARD_JWT_ISSUER": ISSUER,
        "EVENTYARD_JWT_AUDIENCE": f"{AUDIENCE},another",
        "EVENTYARD_JWT_KEYS": "jwks.json",
        "EVENTYARD_JWT_ALGORITHMS": "ES256",
        "EVENTYARD_JWT_GRANTS": '{"shop": {"scopes": ["publish"], "source": "/shop/"}}',
    }
    settings = load({}, environment=environment)
    assert (settings.jwt_audience, settings.jwt_algorithms) == ((AUDIENCE, "another"), ("ES256",))
    assert settings.jwt_grants["shop"].source == "/shop/"
    with pytest.raises(InvalidSettings):
        load({}, environment=environment | {"EVENTYARD_JWT_GRANTS": "shop"})


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256K"])
def test_only_sound_asymmetric_algorithms_can_be_pinned(algorithm: str) -> None:
    with pytest.raises(InvalidSettings):
        load(GIVEN | {"jwt_algorithms": [algorithm]}, environment={})


def test_a_grant_that_cannot_be_meant_is_named() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(GIVEN | {"jwt_grants": {"x": {"scopes": ["read"], "buses": []}}}, environment={})
    assert caught.value.at == "jwt-grants.x.buses"


def test_the_settings_make_an_issuer_of_a_file_or_of_an_address(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks())
    made = entrance.issuer(composed(), load(GIVEN | {"jwt_keys": str(tmp_path / "jwks.json")}, environment={}))
    assert made is not None
    assert isinstance(made._source, FileKeys)
    made = entrance.issuer(composed(), load(GIVEN | {"jwt_keys": URL}, environment={}))
    assert made is not None
    assert isinstance(made._source, FetchedKeys)
    assert entrance.issuer(composed(), load({}, environment={})) is None
