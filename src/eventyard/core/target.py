"""Where the deliveries of a rule go, as people write it: over HTTP, into a queue that is pulled, or to another bus here."""

from typing import Annotated, Literal

import msgspec

from eventyard.core import auth, limits, signature
from eventyard.core.auth import Auth
from eventyard.core.batch import Batch
from eventyard.core.errors import InvalidRule
from eventyard.core.handshake import Wanted
from eventyard.core.secret import Headers, check_headers
from eventyard.core.signature import Signing
from eventyard.core.transform import Transform
from eventyard.core.transform.jsonata import Program
from eventyard.core.transform.template import Compiled

Method = Literal["POST", "PUT", "PATCH", "DELETE", "GET"]

WITHOUT_EVENT = frozenset({"GET", "DELETE"})
"""Methods that send no body but one that a transform makes; GET none at all (RFC 9110, 9.3.1 and 9.3.5)."""


class HttpTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Push: one request per event. `timeout_s` bounds the whole exchange. `headers` go with each; a value may be {"secret": "..."}.

    `transform` makes the request out of the event; left out, the target gets the event itself, as `mode` says. `signing`: each is signed, as
    Standard Webhooks has it. `auth`: how each says who sends it. `reply`: an event that it answers 200 with enters the bus (`reply`).
    `batch`: several events in one request. `handshake`: whether it is asked for its consent first, and nothing is sent without (`required`).
    """

    url: str
    mode: Literal["structured", "binary"] = "structured"
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=300)] = 10.0
    headers: Headers = {}
    method: Method = "POST"
    transform: Transform | msgspec.UnsetType = msgspec.UNSET
    signing: Signing | None = None
    auth: Auth | None = None
    reply: bool = False
    batch: Batch | None = None
    handshake: Wanted = "off"


class QueueTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pull: consumers receive. `lease_s` holds where a consumer names none; `max_leases` bounds what all of them hold at once."""

    lease_s: Annotated[float, msgspec.Meta(ge=1, le=limits.LEASE_S_MAX)] = 30.0
    max_leases: Annotated[int, msgspec.Meta(ge=1, le=limits.LEASES_PER_RULE_MAX)] = 10_000


class BusTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another bus here, by its name: each event is published on it, with the source and id that it has."""

    name: str


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of these."""

    http: HttpTarget | None = None
    queue: QueueTarget | None = None
    bus: BusTarget | None = None


def check_http(http: HttpTarget, *, at: str = "/target/http", may_keep: bool = True) -> None:
    """All of it but its address. `may_keep` as in `check_headers`."""
    check_headers(http.headers, at=f"{at}/headers", may_keep=may_keep)
    compiled = compiled_transform(http, at=at)
    if http.signing is not None:
        signature.check(http.signing, at=f"{at}/signing", may_keep=may_keep)
    if http.auth is not None:
        auth.check(http.auth, at=f"{at}/auth", may_keep=may_keep)
        if auth.HEADER in http.headers:
            wanted = "one of them: both say who sends the push"
            raise InvalidRule(f'found "auth" and the header "{auth.HEADER}"', wanted=wanted, at=f"{at}/auth")
    if http.batch is not None:
        _check_batch(http, at=at)
    if http.method == "GET" and compiled is not None and compiled.has_body:
        raise InvalidRule("found a body and the method GET", wanted="no body, or another method", at=f"{at}/method")


def _check_batch(http: HttpTarget, *, at: str) -> None:
    """A batch is the events as they are: one body, which needs a method that has one."""
    alone = {
        "the mode binary, which is of one event": http.mode == "binary",
        "a transform, which makes a request of one event": not isinstance(http.transform, msgspec.UnsetType),
        "replies, which are to one event": http.reply,
        f"the method {http.method}, which sends no event": http.method in WITHOUT_EVENT,
    }
    for found, is_there in alone.items():
        if is_there:
            raise InvalidRule(f"found batches and {found}", wanted="one of them", at=f"{at}/batch")


def compiled_transform(http: HttpTarget, *, at: str = "/target/http") -> Compiled | Program | None:
    """None where it has none. `InvalidRule`."""
    if isinstance(http.transform, msgspec.UnsetType):
        return None
    template, jsonata = http.transform.template, http.transform.jsonata
    own = http.headers if http.auth is None else http.headers | {auth.HEADER: ""}
    if not isinstance(template, msgspec.UnsetType) and isinstance(jsonata, msgspec.UnsetType):
        return Compiled(template, own=own, at=f"{at}/transform/template")
    if isinstance(template, msgspec.UnsetType) and not isinstance(jsonata, msgspec.UnsetType):
        return Program(jsonata, own=own, at=f"{at}/transform/jsonata")
    found = "found no transform" if isinstance(template, msgspec.UnsetType) else "found two transforms"
    raise InvalidRule(found, wanted='{"template": {...}} or {"jsonata": {...}}', at=f"{at}/transform")
