"""What of a rule is secret: values of headers that its target wants, as tokens and API keys, and what its pushes are signed with.

A caller writes one and never reads it again. Before a rule becomes a command each is sealed (`ports.Vault`), so that no change, row, event
or backup ever holds it in clear; whoever asks for the rule is told that it is there (`{"secret": null}`), and may say the same to keep it.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from eventyard.core import limits
from eventyard.core.errors import InvalidRule

SEALED = "sealed:"
"""What a sealed value begins with. No caller's may."""


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that nobody is told. Null keeps the one that is there."""

    secret: str | None

    @property
    def is_sealed(self) -> bool:
        return self.secret is not None and self.secret.startswith(SEALED)


Headers = dict[str, str | Secret]

T = TypeVar("T")


def context(bus: str, rule: str, name: str) -> str:
    """What a sealed value belongs to: put elsewhere it cannot be opened. `name`: of a header, or as `rule_secrets.Place` has it."""
    return f"{bus}/{rule}/{name}"


def replaced(headers: Mapping[str, str | Secret], change: Callable[[str, Secret], Secret]) -> Headers:
    """With every secret changed, by its header's name."""
    return {name: change(name, value) if isinstance(value, Secret) else value for name, value in headers.items()}


def check_headers(headers: Mapping[str, str | Secret], *, at: str, may_keep: bool = True) -> None:
    """`InvalidRule` for a header that cannot be sent, that the bus sets itself, or that would end the head of the request.

    `may_keep`: whether there may be a value to keep, where one is null.
    """
    if len(headers) > limits.TARGET_HEADERS_MAX:
        raise InvalidRule(f"found {len(headers)} headers", wanted=f"at most {limits.TARGET_HEADERS_MAX}", at=at)
    for name, value in headers.items():
        check_header_name(name, f"{at}/{name[:100]}")
        text = value.secret if isinstance(value, Secret) else value
        if text is not None:
            _check_value(text, f"{at}/{name}", is_secret=isinstance(value, Secret))
        elif not may_keep:
            raise InvalidRule(
                "found no value", wanted="the secret itself: there is none here that could be kept", at=f"{at}/{name}"
            )


def check_header_name(name: str, at: str) -> None:
    """`InvalidRule` for one that a rule may not set."""
    if not _NAME.match(name) or name != name.lower():
        raise InvalidRule(
            f'found the header "{name[:60]}"', wanted="a name in lower case, as authorization or x-api-key", at=at
        )
    if _OWN.match(name):
        raise InvalidRule(f'found the header "{name}"', wanted="another: the bus sets this one itself", at=at)


def is_header_value(text: str) -> bool:
    return _VALUE.match(text) is not None


def _check_value(text: str, at: str, *, is_secret: bool) -> None:
    """The value itself is not told: it may be secret."""
    if len(text) > limits.TARGET_HEADER_LENGTH_MAX:
        raise InvalidRule(f"found {len(text)} characters", wanted=f"at most {limits.TARGET_HEADER_LENGTH_MAX}", at=at)
    if not _VALUE.match(text):
        raise InvalidRule("found a value that no header can have", wanted="printable ASCII, no space at either end", at=at)
    if is_secret and text.startswith(SEALED):
        raise InvalidRule(f'found a secret that begins with "{SEALED}"', wanted="the secret itself, or null to keep it", at=at)


_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?\Z")
_OWN = re.compile(
    r"(?:host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|accept-encoding"
    r"|traceparent|tracestate|ce-.*|eventyard-.*|webhook-.*)\Z"
)
