"""What is secret in rules: sealed before anything is asked of the writer, and sealed anew when the key changes."""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from eventyard.bus.asking import Asking
from eventyard.core.bus_state import BusState
from eventyard.core.commands import Reseal
from eventyard.core.errors import InvalidRequest, InvalidRule, SecretLost
from eventyard.core.rule import Rule, RuleRecord
from eventyard.core.rule_secrets import Place, secrets_of, with_secrets
from eventyard.core.secret import Secret, context
from eventyard.ports import Vault


class Rotated(NamedTuple):
    """`key` is in use now. `resealed` secrets were sealed anew, `lost` could not be opened, and `forgotten` keys were thrown away."""

    key: str
    resealed: int
    lost: int
    forgotten: int


class SecretCalls(Asking):
    """`_vault`: None where there is no key file, and so no rule with secrets."""

    _vault: Vault | None

    def _sealed(self, bus: str, name: str, rule: Rule) -> Rule:
        """The rule with its secrets sealed. One that is null, or the same again, is the one that is there, so that nothing changes."""
        given = secrets_of(rule)
        if not given:
            return rule
        if self._vault is None:
            raise InvalidRule("found a secret", wanted="none: this bus was started without a key file", at=given[0][0].at)
        there = self._there(bus, name, rule)
        # Those that are spelled out first: what they leave over is what the others keep.
        spelled = [
            self._sealed_one(self._vault, context(bus, name, place.name), one, there.get(place.name, []))
            for place, one in given
        ]
        sealed = iter([one or _kept(place, there) for (place, _), one in zip(given, spelled, strict=True)])
        return with_secrets(rule, lambda _place, _given: next(sealed))

    def _there(self, bus: str, name: str, rule: Rule) -> "_There":
        before = self._state(bus).by_name.get(name)
        there: _There = {}
        if before is not None and _origin(before.rule) == _origin(rule):
            for place, sealed in secrets_of(before.rule):
                there.setdefault(place.name, []).append(sealed)
        return there

    def _sealed_one(self, vault: Vault, belongs_to: str, given: Secret, known: list[Secret]) -> Secret | None:
        """None where it is not spelled out. One that is `known` stays as it is, so that nothing changes."""
        if given.secret is None:
            return None
        for before in known:
            if self._open(before, belongs_to) == given.secret:
                known.remove(before)
                return before
        return Secret(vault.seal(given.secret, belongs_to))

    def _open(self, sealed: Secret, belongs_to: str) -> str | None:
        """None where it cannot be opened."""
        try:
            return self._open_secret(sealed.secret or "", belongs_to)
        except SecretLost:
            return None

    def _open_secret(self, sealed: str, belongs_to: str) -> str:
        if self._vault is None:
            raise SecretLost("this bus was started without a key file")
        return self._vault.open(sealed, belongs_to)

    def lost_secrets(self) -> list[str]:
        """As bus/rule/header, those that cannot be opened: their rules push nothing until they are put again, or the key file is back."""
        return [
            belongs_to
            for state, record in self._with_secrets()
            for belongs_to, sealed in _sealed_in(state, record)
            if self._open(sealed, belongs_to) is None
        ]

    async def rotate_secrets(self, *, is_forgetting: bool = False) -> Rotated:
        """Seal every secret with a new key. `is_forgetting` throws the old keys away then, unless one of them is still needed.

        A crash leaves some sealed with the old key, which stays in the file; rotated again, all are sealed with the newest.
        """
        vault = self._vault
        if vault is None:
            raise InvalidRequest("found no key file", wanted="a bus that was started with one")
        self._writer.check_whole()
        key = await asyncio.to_thread(vault.rotate)
        counts = [await self._reseal(vault, state, record) for state, record in list(self._with_secrets())]
        lost = len(self.lost_secrets())
        forgotten = await asyncio.to_thread(vault.forget) if is_forgetting and not lost else 0
        return Rotated(key, sum(counts), lost, forgotten)

    async def _reseal(self, vault: Vault, state: BusState, record: RuleRecord) -> int:
        """A rule that is put meanwhile is sealed with the new key already."""
        pairs = []
        for belongs_to, sealed in _sealed_in(state, record):
            clear = None if vault.is_current(sealed.secret or "") else self._open(sealed, belongs_to)
            if clear is not None:
                pairs.append((sealed.secret or "", vault.seal(clear, belongs_to)))
        # Twice: a PUT that keeps what it saw before the first was carried out may stand behind it in the queue, but not behind the second.
        for _ in range(2 if pairs else 0):
            await self._command(state.record.name, Reseal(record.uid, tuple(pairs)))
        return len(pairs)

    def _with_secrets(self) -> Iterator[tuple[BusState, RuleRecord]]:
        for state in list(self._writer.states.values()):
            for record in state.by_uid.copy().values():
                if secrets_of(record.rule):
                    yield state, record


_There = dict[str, list[Secret]]
"""What a rule has that may be kept, by what it belongs to: of signing secrets maybe two, the newest first."""


def _kept(place: Place, there: _There) -> Secret:
    """The newest of those that are left."""
    known = there.get(place.name)
    if not known:
        wanted = "the secret itself: the rule has none in this place, for this host, that could be kept"
        raise InvalidRule("found no value", wanted=wanted, at=place.at)
    return known.pop(0)


def _origin(rule: Rule) -> list[tuple[str, str]]:
    """Whom the target's address names, and that of a token server. A secret is kept for them only: else whoever may edit a rule could have it, or
    a token that it opens, sent to himself.
    """
    http = rule.target.http
    urls = [] if http is None else [http.url]
    if http is not None and http.auth is not None and http.auth.oauth2 is not None:
        urls.append(http.auth.oauth2.token_url)
    return [urlsplit(url)[:2] for url in urls]


def _sealed_in(state: BusState, record: RuleRecord) -> list[tuple[str, Secret]]:
    """Each secret of the rule with what it belongs to."""
    return [(context(state.record.name, record.name, place.name), sealed) for place, sealed in secrets_of(record.rule)]
