"""Access keys: made, listed, revoked."""

from typing import Annotated, Literal

import msgspec

from eventyard.core import document, limits
from eventyard.core.access import AccessKey, Grant, Scope
from eventyard.core.errors import InvalidRequest
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import MaybeTime, Time
from eventyard.surfaces.http.times import read_time_ms, rfc3339

ScopeName = Literal["publish", "consume", "manage", "read"]
_Text = Annotated[str, msgspec.Meta(max_length=limits.GRANT_TEXT_MAX)]


class KeyPost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`buses` left out: all of them. For publishing, `source` is how an event's source has to begin, and `types` are those that it may
    have (`order.*`: all that begin so). `expires` left out: never.
    """

    name: str
    scopes: list[ScopeName]
    buses: list[str] | None = None
    source: _Text = ""
    types: list[_Text] | None = None
    expires: MaybeTime = ""


class KeyAnswer(msgspec.Struct, frozen=True):
    """`created_by` and `revoked_by` are who asked for it; empty where that was before keys were in use. `last_used`: since the server's start."""

    id: str
    name: str
    scopes: list[ScopeName]
    buses: list[str] | None
    source: str
    types: list[str] | None
    created: Time
    created_by: str
    expires: Time | None
    revoked: Time | None
    revoked_by: str
    last_used: Time | None


class NewKeyAnswer(KeyAnswer, frozen=True, kw_only=True):
    """`key` is shown this once: only its digest is kept."""

    key: str


class KeysAnswer(msgspec.Struct, frozen=True):
    """By the time when they were made."""

    keys: list[KeyAnswer]
    next: str | None = None


async def create_key(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, KeyPost, InvalidRequest)
    grant = Grant(
        tuple(Scope(scope) for scope in asked.scopes),
        None if asked.buses is None else tuple(asked.buses),
        asked.source,
        None if asked.types is None else tuple(asked.types),
    )
    expires_ms = read_time_ms(asked.expires, at="/expires")
    if expires_ms == 0:
        raise InvalidRequest("found a time that has passed", wanted="one that is yet to come, or none", at="/expires")
    text, record = await call.yard.create_key(asked.name, grant, expires_ms=expires_ms or 0, principal=call.principal)
    return json_answer(NewKeyAnswer(**msgspec.structs.asdict(_shown(call, record)), key=text), 201)


async def keys(call: Call[NoFields]) -> Answer:
    return json_answer(KeysAnswer([_shown(call, key) for key in call.yard.access_keys()]))


async def revoke_key(call: Call[NoFields]) -> Answer:
    await call.yard.revoke_key(call.path["key"], principal=call.principal)
    return Answer(204)


def _shown(call: Call[NoFields], key: AccessKey) -> KeyAnswer:
    grant, used_ms = key.grant, call.yard.used_ms(key.id)
    return KeyAnswer(
        id=key.id,
        name=key.name,
        scopes=[scope.value for scope in grant.scopes],
        buses=None if grant.buses is None else list(grant.buses),
        source=grant.source,
        types=None if grant.types is None else list(grant.types),
        created=rfc3339(key.created_ms),
        created_by=key.created_by,
        expires=rfc3339(key.expires_ms) if key.expires_ms else None,
        revoked=rfc3339(key.revoked_ms) if key.revoked_ms else None,
        revoked_by=key.revoked_by,
        last_used=rfc3339(used_ms) if used_ms else None,
    )
