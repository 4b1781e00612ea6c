"""Access keys: made, shown, revoked; and who it is that asks."""

import secrets
from collections.abc import Callable, Mapping

from eventyard.bus.asking import Asking
from eventyard.core import access
from eventyard.core.access import AccessKey, Caller, Grant
from eventyard.core.commands import CreateKey, RevokeKey
from eventyard.core.rule import check_name
from eventyard.core.system import SYSTEM_BUS
from eventyard.ports import Clock


class KeyCalls(Asking):
    """`_clock`: the system's, for what ends at a time. `_used_ms`: when each key was last shown since the start, by its id. `on_revoked` hears of every key that was revoked, by its id."""

    _clock: Clock
    _used_ms: dict[str, int]
    on_revoked: Callable[[str], None] = staticmethod(lambda _: None)

    @property
    def _access_keys(self) -> Mapping[str, AccessKey]:
        """By id. The writer changes it; single look-ups are safe from any thread.

        None in a store that has lost even its list of buses: it is only read, and there is nothing in it to be kept from anybody.
        """
        system = self._writer.states.get(SYSTEM_BUS)
        return system.keys if system is not None else {}

    @property
    def has_keys(self) -> bool:
        """Whether keys are in use. Once there was one they are, also where none is in force any more: a bus never opens by itself."""
        return bool(self._access_keys)

    @property
    def has_key_manager(self) -> bool:
        """Whether anybody holds a key by which keys can be managed."""
        now_ms = self.access_ms()
        return any(key.grant.manages_keys and not key.is_over(now_ms) for key in self.access_keys())

    def is_revoked(self, id: str) -> bool:  # noqa: A002 - it is the key's id
        key = self._access_keys.get(id)
        return key is None or bool(key.revoked_ms)

    def identify(self, token: bytes) -> Caller:
        """Whoever holds this key; Unauthenticated where it is none, or over."""
        caller = access.identify(self._access_keys, token, self.access_ms)
        self._used_ms[caller.key] = self._clock.now_ms()
        return caller

    def used_ms(self, id: str) -> int:  # noqa: A002 - it is the key's id
        """When the key was last shown since the start; 0 where it was not."""
        return self._used_ms.get(id, 0)

    def access_ms(self) -> int:
        """Now, for what ends at a time: the later of bus time, which never runs backwards, and the wall clock, which bus time may have to
        disbelieve. A permission ends rather too early than too late.
        """
        return max(self._now().time_ms, self._clock.now_ms())

    def access_keys(self) -> list[AccessKey]:
        """By the time when they were made."""
        return sorted(dict(self._access_keys).values(), key=lambda key: (key.created_ms, key.id))

    def found_key(self, text: str, name: str) -> AccessKey:
        """Let in the key that reads `text`, which may do everything: between `open` and `begin`. Twice changes nothing."""
        record: AccessKey = self._writer.run_now(SYSTEM_BUS, CreateKey(access.made(text, name, access.EVERYTHING)))
        return record

    async def create_key(
        self, name: str, grant: Grant, *, expires_ms: int = 0, text: str = "", principal: str = ""
    ) -> tuple[str, AccessKey]:
        """A new key and its record. Nobody can show the key again. `text`: the key that it shall be, where it was chosen before."""
        text = text or access.key_text(secrets.token_bytes(access.ID_BYTES + access.SECRET_BYTES))
        key = access.made(text, check_name(name, what="key"), access.check_grant(grant), expires_ms)
        record: AccessKey = await self._system_command(CreateKey(key, principal))
        return text, record

    async def revoke_key(self, id: str, *, principal: str = "") -> AccessKey:  # noqa: A002 - it is the key's id
        """When this returns the key opens nothing any more."""
        record: AccessKey = await self._system_command(RevokeKey(id, principal))
        self.on_revoked(record.id)
        return record
