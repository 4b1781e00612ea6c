"""Who may come in, settled before a server listens: its first key, whether there is one at all, and the certificate that it shows."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from eventyard import first_key, logbook
from eventyard.bus import Eventyard
from eventyard.core.errors import InvalidSettings
from eventyard.settings import Settings, grant_of
from eventyard.surfaces.http import Certificates

if TYPE_CHECKING:
    from eventyard.issuer import Issuer


def certificates(settings: Settings) -> Certificates | None:
    """What it speaks TLS with; InvalidSettings for files that cannot be used."""
    return Certificates(Path(settings.tls_certificate), Path(settings.tls_key)) if settings.tls_certificate else None


def issuer(yard: Eventyard, settings: Settings) -> "Issuer | None":
    """Whose tokens are taken. InvalidSettings for keys of it that cannot be read from their file."""
    if not settings.jwt_issuer:
        return None
    from eventyard.issuer import FetchedKeys, FileKeys, Issuer, KeySource, Policy  # noqa: PLC0415 - heavy, and seldom wanted

    policy = Policy(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_algorithms,
        settings.jwt_claim,
        {word: grant_of(settings, word) for word in settings.jwt_grants},
        settings.jwt_leeway_s,
    )
    is_address = "://" in settings.jwt_keys
    source: KeySource = (
        FetchedKeys(settings.jwt_keys, policy.algorithms)
        if is_address
        else FileKeys(Path(settings.jwt_keys), policy.algorithms)
    )
    return Issuer(policy, source, yard.access_ms)


def check(yard: Eventyard, settings: Settings) -> None:
    """Let the first key in where there is to be one; InvalidSettings where others would reach a bus that asks for none.

    Between `open` and `begin`.
    """
    if settings.first_key and not yard.has_key_manager:
        let_first_key_in(yard, Path(settings.first_key))
    if settings.is_loopback or yard.has_keys or settings.jwt_issuer or settings.insecure:
        return
    raise InvalidSettings(
        f'found the host "{settings.host}", and no access key: whoever reached it could do everything',
        wanted="a first key (--first-key FILE makes one; or eventyard keys create while it listens on 127.0.0.1),"
        " an issuer of tokens (jwt-issuer), a loopback address, or --insecure",
        at="host",
    )


def let_first_key_in(yard: Eventyard, file: Path) -> None:
    """One that was revoked does not come back by this: it may be the one that leaked."""
    record = yard.found_key(first_key.read_or_make(file), first_key.NAME)
    if record.is_over(yard.access_ms()):
        raise InvalidSettings(
            f"found that the key in {file}, {record.id}, was revoked or has expired",
            wanted="no file there, so that a new one is made, or a file with another key",
            at="first-key",
        )
    logbook.FIRST_KEY(key=record.id, file=str(file.resolve()))


def warnings(yard: Eventyard, settings: Settings, url: str) -> list[str]:
    """What whoever started it should see, at each start."""
    if settings.is_loopback or yard.has_keys or settings.jwt_issuer:
        return []
    logbook.OPEN_TO_ALL(address=url)
    return ["INSECURE: whoever reaches this address can do everything; no key is asked for."]


def follow_hangup(shown: Certificates | None, trusted: "Issuer | None") -> None:
    """On SIGHUP read again what comes from files: the certificate, and the issuer's keys. Without either the signal is not heeded."""
    if shown is not None or trusted is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, shown, trusted)


def _reload(shown: Certificates | None, trusted: "Issuer | None") -> None:
    try:
        if shown is not None:
            shown.reload()
            logbook.TLS_RELOADED()
    except InvalidSettings as error:
        logbook.TLS_KEPT(error=error.detail)
    try:
        if trusted is not None:
            trusted.reload()
    except InvalidSettings as error:
        logbook.ISSUER_KEPT(error=error.detail)
