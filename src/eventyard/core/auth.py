"""How a push says who sends it, where the target wants that in the `authorization` header: basic, bearer, or a token of an OAuth 2.0 server.

An API key in another header is a header of the rule. What is read of a token server's answer is decided here too (RFC 6749, sections 4.4 and 5),
strictly enough that nothing which is no token ever stands in a header.
"""

import base64
import re
from typing import Annotated, Any, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from eventyard.core import limits
from eventyard.core.errors import InvalidRule
from eventyard.core.secret import SEALED, Secret

HEADER = "authorization"

Text = Annotated[str, msgspec.Meta(max_length=limits.TARGET_HEADER_LENGTH_MAX)]


class Basic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user name and a password (RFC 7617), both in UTF-8."""

    username: Text
    password: Secret


class OAuth2(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token that `token_url` gives for the client's credentials, fetched when it is needed and kept until shortly before it ends.

    `client_auth` is how the client says who it is, in the words of RFC 8414. `audience` is sent where it is not empty, as some servers want it.
    """

    token_url: str
    client_id: Text
    client_secret: Secret
    scope: Text = ""
    audience: Text = ""
    client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of these."""

    basic: Basic | None = None
    bearer: Secret | None = None
    oauth2: OAuth2 | None = None


class Grant(msgspec.Struct, frozen=True):
    """What a token is asked for with, opened: equal ones share a token."""

    token_url: str
    client_id: str
    client_secret: str
    scope: str
    audience: str
    client_auth: str

    @property
    def host(self) -> str:
        """What may be told of it."""
        return urlsplit(self.token_url).netloc


class Token(msgspec.Struct, frozen=True):
    """`text` stands after "Bearer"; it holds for so many seconds."""

    text: str
    holds_s: float


# What a rule says


def check(auth: Auth, *, at: str, may_keep: bool = True) -> None:
    """`InvalidRule` for what cannot be sent. `may_keep`: whether there may be a value to keep, where one is null."""
    given = [name for name in ("basic", "bearer", "oauth2") if getattr(auth, name) is not None]
    if len(given) != 1:
        raise InvalidRule(f"found {' and '.join(given) or 'none'}", wanted='one of "basic", "bearer", "oauth2"', at=at)
    if auth.basic is not None:
        _check_text(auth.basic.username, f"{at}/basic/username", _USERNAME, "a name without a colon, which ends it")
        _check_secret(auth.basic.password, f"{at}/basic/password", _PASSWORD, "a password, in one line", may_keep=may_keep)
    if auth.bearer is not None:
        _check_secret(auth.bearer, f"{at}/bearer", _BEARER, 'the token alone, without "Bearer" before it', may_keep=may_keep)
    if auth.oauth2 is not None:
        _check_oauth2(auth.oauth2, f"{at}/oauth2", may_keep=may_keep)


def _check_oauth2(oauth2: OAuth2, at: str, *, may_keep: bool) -> None:
    """The address is checked by whoever knows what the operator allows (`core.network`)."""
    _check_text(oauth2.client_id, f"{at}/client_id", _VISIBLE, "printable ASCII, as the token server gave it")
    _check_secret(
        oauth2.client_secret, f"{at}/client_secret", _VISIBLE, "printable ASCII, as the token server gave it", may_keep=may_keep
    )
    if oauth2.scope:
        _check_text(oauth2.scope, f"{at}/scope", _SCOPE, 'scopes with one space between them, as "read write"')
    if oauth2.audience:
        _check_text(oauth2.audience, f"{at}/audience", _VISIBLE, "printable ASCII")


def _check_secret(secret: Secret, at: str, form: re.Pattern[str], wanted: str, *, may_keep: bool) -> None:
    text = secret.secret
    if text is None and not may_keep:
        raise InvalidRule("found no value", wanted="the secret itself: there is none here that could be kept", at=at)
    if text is None:
        return
    if text.startswith(SEALED):
        raise InvalidRule(f'found a secret that begins with "{SEALED}"', wanted="the secret itself, or null to keep it", at=at)
    _check_text(text, at, form, wanted)


def _check_text(text: str, at: str, form: re.Pattern[str], wanted: str) -> None:
    """The text is not told: it may be secret."""
    if len(text) > limits.TARGET_HEADER_LENGTH_MAX:
        raise InvalidRule(f"found {len(text)} characters", wanted=f"at most {limits.TARGET_HEADER_LENGTH_MAX}", at=at)
    if not form.match(text):
        raise InvalidRule("found nothing" if not text else "found what cannot be sent so", wanted=wanted, at=at)


_USERNAME = re.compile(r"[^\x00-\x1f\x7f:]+\Z")
_PASSWORD = re.compile(r"[^\x00-\x1f\x7f]+\Z")
_VISIBLE = re.compile(r"[\x20-\x7e]+\Z")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*\Z")
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")


# What is sent


def grant(oauth2: OAuth2, client_secret: str) -> Grant:
    """`client_secret` in clear."""
    return Grant(oauth2.token_url, oauth2.client_id, client_secret, oauth2.scope, oauth2.audience, oauth2.client_auth)


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def bearer(token: str) -> str:
    return f"Bearer {token}"


def token_request(grant: Grant) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body that ask for a token (RFC 6749, sections 2.3.1 and 4.4.2)."""
    fields = {"grant_type": "client_credentials", "scope": grant.scope, "audience": grant.audience}
    headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")]
    if grant.client_auth == "client_secret_post":
        fields |= {"client_id": grant.client_id, "client_secret": grant.client_secret}
    else:
        headers.append((HEADER, basic(quote_plus(grant.client_id), quote_plus(grant.client_secret))))
    return headers, urlencode({name: value for name, value in fields.items() if value}).encode()


# What comes back


def read_token(status: int, body: bytes) -> Token | str:
    """The token, or why there is none: a phrase that repeats nothing of what may be secret."""
    if status != 200:
        return f"status {status}{_error_of(body)}"
    document = _object(body)
    text, kind, expires = document.get("access_token"), document.get("token_type", "Bearer"), document.get("expires_in")
    if not isinstance(text, str) or not _TOKEN.match(text):
        return "the answer is no token"
    if len(text) > limits.TOKEN_LENGTH_MAX:
        return f"the token has {len(text)} characters, {limits.TOKEN_LENGTH_MAX} may be sent"
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return "the token is of another type than Bearer"
    holds_s = _seconds(expires)
    if holds_s is None:
        return "the token does not say in seconds when it ends"
    return Token(text, holds_s) if holds_s > 0 else "the token has ended already"


def _seconds(expires: Any) -> float | None:
    """Some servers write the number as a text."""
    if expires is None:
        return limits.TOKEN_S_DEFAULT
    if isinstance(expires, str) and re.match(r"[0-9]{1,15}\Z", expires):
        expires = int(expires)
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        return None
    return min(float(expires), limits.TOKEN_S_MAX)


def _error_of(body: bytes) -> str:
    """The code that RFC 6749, section 5.2, has for what is wrong. Descriptions are not repeated: they may quote the request."""
    error = _object(body).get("error")
    return f" ({error})" if isinstance(error, str) and _ERROR.match(error) else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


_TOKEN = re.compile(r"[!-~]+\Z")
_ERROR = re.compile(r"[a-z_]{1,40}\Z")
