"""Access keys: what can be asked about them, as pure functions (see `protocol`)."""

from collections.abc import Sequence
from typing import Literal

from eventyard.client.answers import AccessKey, KeyPage, NewKey
from eventyard.client.building import Moment, time_text
from eventyard.client.call import JSON, Call, Request, Walk, address, answer, nothing
from eventyard.client.event import encode_json

Scope = Literal["publish", "consume", "manage", "read"]


def create_key(
    name: str,
    scopes: Sequence[Scope],
    *,
    buses: Sequence[str] | None = None,
    source: str = "",
    types: Sequence[str] | None = None,
    expires: Moment | None = None,
) -> Call[NewKey]:
    """Make a key, on all buses where none is named. `source` and `types` bound what it may publish (`order.*`: all that begin so).

    The answer holds the key, which nobody can show again. Sent once: where its answer is lost, look with `keys` and revoke it.
    """
    asked = {
        "name": name,
        "scopes": list(scopes),
        "buses": None if buses is None else list(buses),
        "source": source or None,
        "types": None if types is None else list(types),
        "expires": time_text(expires),
    }
    body = encode_json({field: value for field, value in asked.items() if value is not None})
    return Call(Request("POST", address("keys"), body=body, content_type=JSON), answer(NewKey), is_retried=False)


def keys() -> Walk[AccessKey]:
    """Every key, by the time when it was made; those that are over too."""
    yield Call(Request("GET", address("keys")), answer(KeyPage))


def revoke_key(id: str) -> Call[None]:  # noqa: A002 - it is the key's id
    """When this returns the key opens nothing any more."""
    return Call(Request("DELETE", address("keys", id)), nothing)
