"""Edits of access keys, on the system bus: made, revoked, and forgotten where their room is needed."""

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.access import AccessKey
from eventyard.core.commands import CreateKey, RevokeKey
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRequest, NotFound


def create(draft: Draft, command: CreateKey) -> AccessKey:
    """The key as recorded. The very same key again is no second one: a start that was cut off asks for its first key twice."""
    keys = draft.keys()
    before = keys.get(command.key.id)
    if before is not None:
        return _again(before, command.key)
    _check(draft, keys, command.key)
    _make_room(draft, keys)
    record = msgspec.structs.replace(command.key, created_ms=draft.time.time_ms, created_by=command.principal)
    _record(draft, bus_events.KEY_CREATED, record, command.principal)
    draft.set_key(record)
    return record


def _again(before: AccessKey, key: AccessKey) -> AccessKey:
    if before.digest != key.digest:
        raise InvalidRequest(f"found another key with the id {key.id}", wanted="to try again: ids are chance")
    return before


def _check(draft: Draft, keys: dict[str, AccessKey], key: AccessKey) -> None:
    if 0 < key.expires_ms <= draft.time.time_ms:
        raise InvalidRequest("found a time that has passed", wanted="one that is yet to come, or none", at="/expires")
    if not keys and not key.grant.manages_keys:
        raise InvalidRequest(
            "found that this would be the first key, and that nobody could manage keys after it",
            wanted="first one with the scope manage for all buses (eventyard keys create NAME --scope all)",
            at="/scopes",
        )


def _make_room(draft: Draft, keys: dict[str, AccessKey]) -> None:
    """A key that is over is kept for whoever asks about it, as long as there is room."""
    if len(keys) < limits.KEYS_MAX:
        return
    ended = [key for key in keys.values() if key.is_over(draft.time.time_ms)]
    if not ended:
        raise InvalidRequest(f"found {len(keys)} keys", wanted=f"at most {limits.KEYS_MAX}; revoke one first")
    oldest = min(ended, key=lambda key: (key.revoked_ms or key.expires_ms, key.id))
    draft.set_key(msgspec.structs.replace(oldest, is_removed=True))


def revoke(draft: Draft, command: RevokeKey) -> AccessKey:
    """From this step on the key is none. Twice changes nothing."""
    before = draft.keys().get(command.id)
    if before is None:
        raise NotFound(f'found no key "{command.id[:60]}"', wanted="the id of a key that GET /v1/keys lists")
    if before.revoked_ms:
        return before
    record = msgspec.structs.replace(before, revoked_ms=draft.time.time_ms, revoked_by=command.principal)
    _record(draft, bus_events.KEY_REVOKED, record, command.principal)
    draft.set_key(record)
    return record


def _record(draft: Draft, kind: str, key: AccessKey, principal: str) -> None:
    """Everything but the digest."""
    grant = msgspec.to_builtins(key.grant)
    data = {"id": key.id, "name": key.name, "principal": principal, "expires_ms": key.expires_ms, "grant": grant}
    draft.append_bus_event(kind, key.name, data)
