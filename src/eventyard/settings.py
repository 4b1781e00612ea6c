"""Settings of a server: a TOML file, then `EVENTYARD_...` variables, then flags; the later wins.

Every setting is listed in docs/reference/settings.md; a test holds the two together.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from eventyard.core import access, handshake, limits
from eventyard.core.access import Grant, Scope
from eventyard.core.errors import InvalidSettings, Refused
from eventyard.core.hosts import HostBudget, Hosts, host_of
from eventyard.core.network import Policy

PREFIX = "EVENTYARD_"


class JwtGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a word in a token's claim allows: as `core.access.Grant`."""

    scopes: tuple[Literal["publish", "consume", "manage", "read"], ...]
    buses: tuple[str, ...] | None = None
    source: str = ""
    types: tuple[str, ...] | None = None


_ENGINE = re.compile(r"sqlite|(nats|tls)://[^,]+(,[^,]+)*")


class HostSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A budget of one host, in place of what holds for any. 0: no bound."""

    concurrency: Annotated[int, msgspec.Meta(ge=0, le=limits.PUSHES_UNDER_WAY_MAX)] = 0
    rate: Annotated[float, msgspec.Meta(ge=0, le=limits.RATE_PER_S_MAX)] = 0.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """`host` other than a loopback address needs an access key, or `insecure`."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8410
    data: str = "./eventyard-data"
    engine: str = "sqlite"
    """What keeps the bus: `sqlite`, in the data folder; or servers of NATS, comma-separated, which keep its journal."""
    journal_prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "eventyard"
    """What the names of all streams begin with, so that several installations can share servers."""
    allow_network: tuple[str, ...] = ()
    """Networks (CIDR) that targets may stand in although they are private or special."""
    drain_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    """How long a stop waits for requests and pushes under way, from when it listens no more."""
    stop_delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    """How long a server that is to stop goes on, not ready, before it listens no more: until balancers have noticed."""
    secrets_key_file: str = ""
    """The file with the keys for what is secret in rules; empty: `secrets.key` in the data folder."""
    dispatch: bool = True
    """Whether this server pushes itself; else workers do, which lease from it."""
    host_concurrency: Annotated[int, msgspec.Meta(ge=0, le=limits.PUSHES_UNDER_WAY_MAX)] = 0
    """How many pushes may be under way to any one host, over all rules; 0: no bound."""
    host_rate: Annotated[float, msgspec.Meta(ge=0, le=limits.RATE_PER_S_MAX)] = 0.0
    """How many may go to any one host in a second, over all rules; 0: no bound."""
    hosts: dict[str, HostSetting] = {}
    """The same for single hosts, by name, with the port where that is not the scheme's own."""
    hops_max: Annotated[int, msgspec.Meta(ge=1, le=limits.HOPS_MAX)] = limits.HOPS_MAX_DEFAULT
    """How many events may come of one another."""
    webhook_origin: Annotated[str, msgspec.Meta(pattern=handshake.ORIGIN_PATTERN, max_length=253)] = handshake.ORIGIN_DEFAULT
    """Who asks targets for their consent: a DNS name."""
    trace_endpoint: str = ""
    """Where spans are sent, OTLP over HTTP; empty: none are made."""
    trace_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    """Which part of the traces that begin here is sampled. Others bring the decision with them."""
    host_name: tuple[str, ...] = ()
    """Names that the bus is reached by, as they stand in `Host`."""
    first_key: str = ""
    """A file (0600) whose key is the bus's first; made where it is not there."""
    insecure: bool = False
    """Whether it may listen publicly and ask nobody for a key."""
    tls_certificate: str = ""
    tls_key: str = ""
    """PEM files, the certificate with its chain; read again on SIGHUP."""
    jwt_issuer: str = ""
    """Whose tokens are taken, as their `iss` has it; empty: none are."""
    jwt_audience: tuple[str, ...] = ()
    """Whom tokens have to be for, as their `aud` has it: one of these."""
    jwt_keys: str = ""
    """The issuer's public keys (JWKS): an https address, or a file that is read again on SIGHUP."""
    jwt_algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = ("RS256", "ES256", "EdDSA")
    """What tokens may be signed by."""
    jwt_leeway_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30.0
    """By how much the clocks of bus and issuer may differ."""
    jwt_claim: str = "scope"
    """The claim whose words `jwt_grants` knows."""
    jwt_grants: dict[str, JwtGrant] = {}
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else JSON."""

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def load(flags: Mapping[str, Any], *, environment: Mapping[str, str] = os.environ, file: Path | None = None) -> Settings:
    """The settings in force. `InvalidSettings` names the source, what was found and what was wanted."""
    given: dict[str, Any] = {}
    for source, values in ((str(file), _from_file(file)), ("environment", _from_environment(environment)), ("flags", flags)):
        given |= {name.replace("_", "-"): value for name, value in values.items() if value is not None}
        _convert(given, source)
    settings = _convert(given, "settings")
    _check_engine(settings)
    _check_networks(settings)
    _check_tls(settings)
    _check_jwt(settings)
    hosts(settings)
    return settings


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings(f"cannot read the file: {error.strerror}", wanted="a readable TOML file", at=str(file)) from error
    except ValueError as error:
        raise InvalidSettings(f"not TOML: {error}", wanted="TOML", at=str(file)) from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`EVENTYARD_ALLOW_NETWORK=10.0.0.0/8,fd00::/8` and so on. Other variables with the prefix are refused as misspelt."""
    given: dict[str, Any] = {}
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable not in _OTHER_VARIABLES:
            name = variable.removeprefix(PREFIX).lower()
            given[name] = _given(name, variable, text)
    return given


def _given(name: str, variable: str, text: str) -> Any:
    if name in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    if name not in _OBJECTS:
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        wanted = f"JSON, as {_OBJECTS[name]}"
        raise InvalidSettings(f"found what is no JSON: {error}", wanted=wanted, at=variable) from None


_LISTS = frozenset({"allow_network", "host_name", "jwt_audience", "jwt_algorithms"})
"""Settings of several values, comma-separated in a variable."""

_OBJECTS = {
    "jwt_grants": '{"admins": {"scopes": ["manage", "read"]}}',
    "hosts": '{"api.example.com": {"concurrency": 4, "rate": 20}}',
}
"""Settings that are tables, JSON in a variable; with what each looks like."""

_OTHER_VARIABLES = frozenset({"EVENTYARD_URL", "EVENTYARD_KEY", "EVENTYARD_KEY_FILE", "EVENTYARD_CA_FILE"})
"""Variables that the command line reads as a client."""


def _convert(given: Mapping[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(Settings))
        raise InvalidSettings(f"{error}", wanted=f"settings among {known}", at=source) from None


def _check_engine(settings: Settings) -> None:
    if not _ENGINE.fullmatch(settings.engine):
        wanted = "sqlite, or the servers of NATS as nats://a:4222,b:4222 (tls:// where they speak it)"
        scheme, separator, _ = settings.engine.partition("://")  # Behind it may stand a password.
        raise InvalidSettings(f'found "{scheme[:60]}{separator and "://..."}"', wanted=wanted, at="engine")


def _check_tls(settings: Settings) -> None:
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        missing = "tls-key" if settings.tls_certificate else "tls-certificate"
        raise InvalidSettings("found one of tls-certificate and tls-key", wanted="both, or neither", at=missing)


def _check_jwt(settings: Settings) -> None:
    """All that a token is held to has to be said; what has no issuer means nothing."""
    given = {
        "jwt-issuer": settings.jwt_issuer,
        "jwt-audience": settings.jwt_audience,
        "jwt-keys": settings.jwt_keys,
        "jwt-grants": settings.jwt_grants,
        "jwt-algorithms": settings.jwt_algorithms,
    }
    missing = [name for name, value in given.items() if not value]
    is_wanted = any((settings.jwt_issuer, settings.jwt_audience, settings.jwt_keys, settings.jwt_grants))
    if is_wanted and missing:
        raise InvalidSettings("found only a part of what tokens are checked by", wanted=", ".join(given), at=missing[0])
    for word in settings.jwt_grants:
        grant_of(settings, word)


def grant_of(settings: Settings, word: str) -> Grant:
    """What `word` in a token's claim allows."""
    told = settings.jwt_grants[word]
    grant = Grant(tuple(Scope(scope) for scope in told.scopes), told.buses, told.source, told.types)
    try:
        return access.check_grant(grant)
    except Refused as error:
        raise InvalidSettings(error.found, wanted=error.wanted, at=f"jwt-grants.{word}{error.at.replace('/', '.')}") from error


def journal_servers(settings: Settings) -> list[str]:
    """The addresses of the servers that keep the journal; none where one machine keeps the bus. The first says how all are spoken to."""
    if settings.engine == "sqlite":
        return []
    first, *others = settings.engine.split(",")
    scheme = first.partition("://")[0]
    return [first, *(other if "://" in other else f"{scheme}://{other}" for other in others)]


def hosts(settings: Settings) -> Hosts:
    """What may go to each host."""
    named = {_host(name): _budget(told.concurrency, told.rate) for name, told in settings.hosts.items()}
    return Hosts(_budget(settings.host_concurrency, settings.host_rate), named)


def _budget(concurrency: int, rate: float) -> HostBudget:
    return HostBudget(concurrency or None, max(rate, limits.RATE_PER_S_MIN) if rate else None)


def _host(name: str) -> str:
    """As the addresses of targets have it."""
    if host_of(f"http://{name}") != name or "/" in name:
        wanted = (
            "a host as it stands in addresses, in lower case, with its port where that is not the usual one: api.example.com"
        )
        raise InvalidSettings(f'found "{name[:60]}"', wanted=wanted, at="hosts")
    return name


def _check_networks(settings: Settings) -> None:
    for text in settings.allow_network:
        _network(text)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidSettings(f"{error}", wanted="a network in CIDR form, as 10.0.0.0/8", at="allow-network") from None


def policy(settings: Settings) -> Policy:
    """Which addresses targets may have: the loopback only while the bus itself listens only there."""
    return Policy(is_loopback_allowed=settings.is_loopback, allowed=tuple(_network(text) for text in settings.allow_network))
