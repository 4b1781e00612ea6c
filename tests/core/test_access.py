"""Access keys: their form, what opens and what does not, what they grant, and their edits on the system bus."""

import ast
import hashlib
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import access, limits
from eventyard.core.access import EVERYTHING, AccessKey, Caller, Grant, Scope
from eventyard.core.commands import CreateKey, RevokeKey
from eventyard.core.errors import EventyardError, Forbidden, InvalidName, InvalidRequest, NotFound, Refused, Unauthenticated
from eventyard.core.strict_json import decode
from tests.support.builders import Stepped, an_event

CHANCE = bytes(range(36))
TEXT = access.key_text(CHANCE)
KEY = access.made(TEXT, "admin", EVERYTHING)
READER = Grant((Scope.READ,))
NOW_MS = 1_700_000_000_000


def identified(token: str, *keys: AccessKey, now_ms: int = NOW_MS) -> Caller:
    return access.identify({key.id: key for key in keys}, token.encode(), lambda: now_ms)


def another(number: int, grant: Grant = EVERYTHING, expires_ms: int = 0) -> AccessKey:
    return access.made(access.key_text(number.to_bytes(4, "big") + bytes(32)), f"k{number}", grant, expires_ms)


# The key itself


def test_a_key_can_be_told_from_other_text_and_names_its_record() -> None:
    assert "ey_00010203_" + bytes(range(4, 36)).hex() == TEXT
    assert (KEY.id, len(TEXT)) == ("00010203", 76)


def test_what_is_kept_of_a_key_is_its_digest() -> None:
    assert KEY.digest == hashlib.sha256(TEXT.encode()).digest()
    assert TEXT[12:] not in repr(KEY)


def test_a_key_opens_for_who_holds_all_of_it() -> None:
    caller = identified(TEXT, KEY, another(9))
    assert (caller.principal, caller.grants, caller.key) == ("key:00010203/admin", (EVERYTHING,), "00010203")


@pytest.mark.parametrize(
    "token",
    ["", "ey_", "ey_00010203_", TEXT[:-1], TEXT + "0", TEXT.upper(), TEXT.replace("_", "-"), " " + TEXT, TEXT + " ", TEXT + "\n", "ey_00010203"]
    + [TEXT[:-1] + digit for digit in "012456789abcdef"],
)  # fmt: skip
def test_nothing_else_does(token: str) -> None:
    assert token != TEXT
    with pytest.raises(Unauthenticated, match="none of this server's"):
        identified(token, KEY)


@given(st.binary(max_size=100))
def test_no_bytes_do(token: bytes) -> None:
    with pytest.raises(Unauthenticated):
        access.identify({KEY.id: KEY}, token, lambda: NOW_MS)


def test_an_expired_key_opens_until_its_time() -> None:
    key = access.made(TEXT, "admin", EVERYTHING, NOW_MS)
    assert identified(TEXT, key, now_ms=NOW_MS - 1).ends_ms == NOW_MS
    with pytest.raises(Unauthenticated, match="has expired"):
        identified(TEXT, key)


def test_why_a_key_does_not_count_is_told_only_to_its_holder() -> None:
    revoked = AccessKey(KEY.id, KEY.digest, "admin", EVERYTHING, revoked_ms=1)
    with pytest.raises(Unauthenticated, match="was revoked"):
        identified(TEXT, revoked)
    with pytest.raises(Unauthenticated, match="none of this server's"):
        identified(TEXT[:-1] + "0", revoked)


def test_secrets_are_compared_in_constant_time_and_in_no_other_way() -> None:
    """By construction: `identify` looks up the part that is no secret, compares two digests of one length by `compare_digest` whether
    there is such a key or not, and nothing in it compares anything else but times.
    """
    body = ast.parse(inspect.getsource(access.identify))
    called = [ast.unparse(node) for node in ast.walk(body) if isinstance(node, ast.Call)]
    compared = [ast.unparse(node) for node in ast.walk(body) if isinstance(node, ast.Compare)]
    assert [call for call in called if "compare_digest" in call] == [
        "hmac.compare_digest(_digest(token), record.digest if record is not None else _NOBODY)"
    ]
    assert sorted(compared) == [
        "match is not None", "record is None", "record is not None", "record.expires_ms <= now_ms()"
    ]  # fmt: skip
    assert len(access._NOBODY) == len(KEY.digest)


# What it grants


def refused(grant: Grant, scope: Scope | None, bus: str | None, *, is_narrowed: bool = False) -> str:
    try:
        Caller("key:1/k", (grant,)).check(scope, bus, is_narrowed=is_narrowed)
    except Forbidden as error:
        return error.wanted if error.scope == scope else f"the problem names {error.scope}"
    return ""


def test_a_scope_is_needed_and_no_other_stands_in_for_it() -> None:
    for held in Scope:
        for scope in Scope:
            wanted = refused(Grant((held,)), scope, "shop")
            assert wanted == ("" if held is scope else f"the scope {scope} on bus shop")


def test_any_key_will_do_where_no_scope_is_asked_for() -> None:
    assert refused(Grant((Scope.PUBLISH,), ("shop",)), None, None) == ""


def test_a_key_of_one_bus_opens_that_bus() -> None:
    grant = Grant((Scope.READ,), ("shop", "orders"))
    assert refused(grant, Scope.READ, "shop") == ""
    assert refused(grant, Scope.READ, "other") == "one for bus other"
    assert refused(grant, Scope.READ, "Shop") == "one for bus Shop"
    assert "all buses" in refused(grant, Scope.READ, None)
    assert refused(grant, Scope.READ, None, is_narrowed=True) == ""
    assert "the scope manage" in refused(grant, Scope.MANAGE, None, is_narrowed=True)


@pytest.mark.parametrize(
    ("source", "kind", "at"),
    [
        ("/shop/a", "order.paid", ""),
        ("/shop/", "stock.low", ""),
        ("/shop", "order.paid", "/source"),
        ("/other/shop/", "order.paid", "/source"),
        ("/Shop/", "order.paid", "/source"),
        ("/shop/", "order", "/type"),
        ("/shop/", "stock.lower", "/type"),
        ("/shop/", "an.order.paid", "/type"),
    ],
)
def test_a_key_may_publish_what_its_bounds_take(source: str, kind: str, at: str) -> None:
    caller = Caller("key:1/k", (Grant((Scope.PUBLISH,), None, "/shop/", ("order.*", "stock.low")),))
    assert caller.is_bound
    refusal = caller.refusal(an_event(source=source, kind=kind), "shop")
    assert (refusal.at if refusal else "") == at


def test_of_several_grants_each_stands_by_itself() -> None:
    """A source that one grant allows on one bus is not allowed on a bus of another."""
    shop, stock = (
        Grant((Scope.PUBLISH,), ("shop",), "/shop/"),
        Grant((Scope.PUBLISH, Scope.READ), ("stock",), "/stock/", ("low",)),
    )
    caller = Caller("jwt:me", (shop, stock))
    caller.check(Scope.PUBLISH, "shop")
    caller.check(Scope.READ, "stock")
    assert [bus for bus in ("shop", "stock", "other") if caller.sees(bus)] == ["stock"]
    for scope, bus in ((Scope.READ, "shop"), (Scope.PUBLISH, "other"), (Scope.PUBLISH, None), (Scope.MANAGE, "shop")):
        with pytest.raises(Forbidden):
            caller.check(scope, bus)
    assert caller.refusal(an_event(source="/shop/1"), "shop") is None
    assert at_of(caller.refusal(an_event(source="/stock/1", kind="low"), "shop")) == "/source"
    assert at_of(caller.refusal(an_event(source="/stock/1"), "stock")) == "/type"
    assert caller.refusal(an_event(source="/stock/1", kind="low"), "stock") is None


def at_of(refusal: Forbidden | None) -> str:
    return refusal.at if refusal is not None else "allowed"


def test_who_was_granted_nothing_may_do_nothing() -> None:
    with pytest.raises(Forbidden, match="with the scopes none"):
        Caller("jwt:me", ()).check(None, None)


@pytest.mark.parametrize(
    ("grant", "at"),
    [
        (Grant(()), "/scopes"),
        (Grant((Scope.READ, Scope.READ)), "/scopes"),
        (Grant((Scope.READ,), ()), "/buses"),
        (Grant((Scope.READ,), tuple(f"b{n}" for n in range(limits.GRANT_NAMES_MAX + 1))), "/buses"),
        (Grant((Scope.PUBLISH,), None, "", ()), "/types"),
        (Grant((Scope.PUBLISH,), None, "", ("a*b",)), "/types"),
        (Grant((Scope.PUBLISH,), None, "", ("",)), "/types"),
        (Grant((Scope.PUBLISH,), None, "", ("x" * (limits.GRANT_TEXT_MAX + 1),)), "/types"),
        (Grant((Scope.PUBLISH,), None, "/" * (limits.GRANT_TEXT_MAX + 1)), "/source"),
        (Grant((Scope.READ,), None, "/shop/"), "/scopes"),
    ],
)
def test_a_grant_that_cannot_be_meant_is_refused(grant: Grant, at: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        access.check_grant(grant)
    assert caught.value.at == at


def test_a_grant_at_its_bounds_is_taken() -> None:
    grant = Grant(
        (Scope.PUBLISH,), tuple(f"b{n}" for n in range(limits.GRANT_NAMES_MAX)), "/" * limits.GRANT_TEXT_MAX, ("x" * 255,)
    )
    assert access.check_grant(grant) is grant
    with pytest.raises(InvalidName):
        access.check_grant(Grant((Scope.READ,), ("no/name",)))


# Edits


class Keys:
    """The system bus of a stepped house."""

    def __init__(self) -> None:
        self.house = Stepped()

    def do(self, command: CreateKey | RevokeKey) -> Any:
        answers: list[Any] = []
        self.house.writer.submit_system(command, answers.append)
        self.house.writer.step()
        if isinstance(answers[0], EventyardError):
            raise answers[0]
        return answers[0]

    @property
    def held(self) -> dict[str, AccessKey]:
        return self.house.writer.states[0].keys

    @property
    def log(self) -> list[dict[str, Any]]:
        head = self.house.writer.states[0].head
        return [decode(event.json) for event in self.house.engine.view.events(0, 1, head, 9_999)]


@pytest.fixture
def keys() -> Keys:
    return Keys()


def test_a_key_is_recorded_with_who_made_it_and_when(keys: Keys) -> None:
    made = keys.do(CreateKey(KEY, "somebody"))
    assert (made.created_by, made.created_ms) == ("somebody", keys.house.now().time_ms)
    assert keys.held == {KEY.id: made}
    told = keys.log[-1]
    assert (told["type"], told["subject"], told["data"]["principal"]) == ("io.eventyard.key.created", "admin", "somebody")


def test_neither_a_key_nor_its_digest_is_in_the_log(keys: Keys) -> None:
    keys.do(CreateKey(KEY))
    keys.do(RevokeKey(KEY.id))
    written = repr(keys.log)
    assert TEXT[12:] not in written
    assert KEY.digest.hex() not in written


def test_the_first_key_has_to_manage_keys(keys: Keys) -> None:
    for grant in (READER, Grant((Scope.MANAGE,), ("shop",))):
        with pytest.raises(InvalidRequest, match="nobody could manage keys"):
            keys.do(CreateKey(another(1, grant)))
    keys.do(CreateKey(another(2, Grant((Scope.MANAGE,)))))
    keys.do(CreateKey(another(3, READER)))
    assert len(keys.held) == 2


def test_the_same_key_again_is_no_second_one(keys: Keys) -> None:
    assert keys.do(CreateKey(KEY)) == keys.do(CreateKey(KEY))
    assert len(keys.log) == 2  # The default bus, and one key.


def test_another_key_of_the_same_id_is_refused(keys: Keys) -> None:
    keys.do(CreateKey(KEY))
    twin = access.made(access.key_text(CHANCE[:4] + bytes(32)), "twin", EVERYTHING)
    with pytest.raises(InvalidRequest, match="another key with the id"):
        keys.do(CreateKey(twin))


def test_a_key_that_has_expired_is_not_made(keys: Keys) -> None:
    with pytest.raises(InvalidRequest, match="has passed"):
        keys.do(CreateKey(another(1, EVERYTHING, keys.house.now().time_ms)))
    keys.do(CreateKey(another(1, EVERYTHING, keys.house.now().time_ms + 1)))


def test_a_revoked_key_stays_to_be_asked_about(keys: Keys) -> None:
    keys.do(CreateKey(KEY))
    keys.do(RevokeKey(KEY.id, "one"))
    again = keys.do(RevokeKey(KEY.id, "two"))
    assert (again.revoked_by, again.revoked_ms) == ("one", keys.house.now().time_ms)
    assert [told["type"] for told in keys.log[-2:]] == ["io.eventyard.key.created", "io.eventyard.key.revoked"]


def test_a_key_that_is_not_there_cannot_be_revoked(keys: Keys) -> None:
    with pytest.raises(NotFound):
        keys.do(RevokeKey("00000000"))


def test_keys_are_bounded_and_the_oldest_that_is_over_makes_room(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_MAX", 3)
    for number in range(3):
        keys.do(CreateKey(another(number)))
    with pytest.raises(Refused, match="found 3 keys"):
        keys.do(CreateKey(another(3)))
    for number in (1, 0):
        keys.do(RevokeKey(another(number).id))
        keys.house.clock.advance(10)
    keys.do(CreateKey(another(3)))
    assert {key.name for key in keys.held.values()} == {"k0", "k2", "k3"}
