"""Signatures of pushes, by which a target knows that they come from here and were not changed: Standard Webhooks 1.0.0, and one of our own.

Theory of operation. Standard Webhooks signs `{webhook-id}.{webhook-timestamp}.{body}` with HMAC-SHA256. Which secret was taken is not said: there is
one signature for each, and one that fits will do. So a secret is changed without a gap: sign with both, change the receiver's, drop the old one.

In binary mode an event's attributes are headers, which that does not cover. A second header signs them, with the same secrets, over lines that no
`{id}.{timestamp}.{body}` can be: a line break comes before the first dot, and no header has one. Else whoever catches a push could send the
text of the one signature as a body under the other. Both name the same id and time, so parts of two deliveries do not fit together.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence

import msgspec

from eventyard.core import limits
from eventyard.core.errors import InvalidRule
from eventyard.core.secret import Secret

PREFIX = "whsec_"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
ATTRIBUTES = "eventyard-attributes-signature"

_WANTED = (
    f"{PREFIX} and then {limits.SIGNING_SECRET_BYTES_MIN} to {limits.SIGNING_SECRET_BYTES_MAX} random bytes in base64, "
    "as `eventyard secrets new` makes one"
)


class Signing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each push is signed with every one of the secrets: one, or two while it is being changed, the newest first.

    Those that are null keep what is there, the newest first: of `[{"secret": "whsec_..."}, {"secret": null}]` the second is the one
    that was alone before.
    """

    secrets: tuple[Secret, ...]


def new_secret(chance: bytes) -> str:
    """`chance`: `limits.SIGNING_SECRET_BYTES_NEW` bytes of it."""
    return PREFIX + base64.b64encode(chance).decode()


def check(signing: Signing, *, at: str, may_keep: bool = True) -> None:
    """`InvalidRule` for secrets that none can verify by. `may_keep`: whether there may be a value to keep, where one is null."""
    if not 1 <= len(signing.secrets) <= limits.SIGNING_SECRETS_MAX:
        raise InvalidRule(
            f"found {len(signing.secrets)} secrets",
            wanted="one, or two while one takes the other's place",
            at=f"{at}/secrets",
        )
    texts = [secret.secret for secret in signing.secrets]
    for index, text in enumerate(texts):
        if text is not None:
            _check_secret(text, f"{at}/secrets/{index}")
        elif not may_keep:
            wanted = "the secret itself: there is none here that could be kept"
            raise InvalidRule("found no value", wanted=wanted, at=f"{at}/secrets/{index}")
    if len(texts) > 1 and texts[0] is not None and texts[0] == texts[1]:
        raise InvalidRule("found the same secret twice", wanted="another, or one alone", at=f"{at}/secrets/1")


def _check_secret(text: str, at: str) -> None:
    """What was found is told in words: the text may be the secret."""
    encoded = text.removeprefix(PREFIX)
    if text.startswith(("whsk_", "whpk_")):
        raise InvalidRule("found a key of an asymmetric pair", wanted=_WANTED, at=at)
    if encoded == text:
        raise InvalidRule(f"found a secret that does not begin with {PREFIX}", wanted=_WANTED, at=at)
    if encoded != encoded.strip():
        raise InvalidRule("found a space or line break at its end", wanted=f"{_WANTED}, and nothing after it", at=at)
    if "-" in encoded or "_" in encoded:
        raise InvalidRule("found the base64 of URLs, with - and _", wanted=f"{_WANTED}, with + and / instead", at=at)
    try:
        count = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        found = f"found what is no base64 after {PREFIX}, or is without the = at its end"
        raise InvalidRule(found, wanted=_WANTED, at=at) from None
    if not limits.SIGNING_SECRET_BYTES_MIN <= count <= limits.SIGNING_SECRET_BYTES_MAX:
        raise InvalidRule(f"found a secret of {count} bytes", wanted=_WANTED, at=at)


def headers(
    secrets: Sequence[str], delivery_id: str, time_s: int, body: bytes, attributes: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """What a push of `body` at `time_s` (Unix time) carries. `attributes`: its headers that are the event's, in binary mode."""
    keys = [base64.b64decode(secret.removeprefix(PREFIX)) for secret in secrets]
    signed = [
        (ID, delivery_id),
        (TIMESTAMP, str(time_s)),
        (SIGNATURE, _signatures(keys, f"{delivery_id}.{time_s}.".encode() + body)),
    ]
    lines = [f"{name}:{value}" for name, value in sorted(attributes)]
    if lines:
        signed.append((ATTRIBUTES, _signatures(keys, attributes_text(delivery_id, time_s, lines))))
    return signed


def attributes_text(delivery_id: str, time_s: int, lines: Iterable[str]) -> bytes:
    """What the signature over attributes is made of. `lines`: each header as `name:value`, in order."""
    return "\n".join([ATTRIBUTES, delivery_id, str(time_s), *lines]).encode()


def _signatures(keys: Iterable[bytes], content: bytes) -> str:
    """Not by `hmac.digest`: that gives Python's lock away for the moment, and other threads of a busy server take it for longer."""
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
