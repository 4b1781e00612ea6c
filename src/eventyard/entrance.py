"""Who may come in, settled before a server listens: its first key, whether there is one at all, and the certificate that it shows."""

import asyncio
import signal
from pathlib import Path

from eventyard import first_key, logbook
from eventyard.bus import Eventyard
from eventyard.core.errors import InvalidSettings
from eventyard.settings import Settings
from eventyard.surfaces.http import Certificates


def certificates(settings: Settings) -> Certificates | None:
    """What it speaks TLS with; InvalidSettings for files that cannot be used."""
    return Certificates(Path(settings.tls_certificate), Path(settings.tls_key)) if settings.tls_certificate else None


def check(yard: Eventyard, settings: Settings) -> None:
    """Let the first key in where there is to be one; InvalidSettings where others would reach a bus that asks for none.

    Between `open` and `begin`.
    """
    if settings.first_key and not yard.has_key_manager:
        let_first_key_in(yard, Path(settings.first_key))
    if settings.is_loopback or yard.has_keys or settings.insecure:
        return
    raise InvalidSettings(
        f'found the host "{settings.host}", and no access key: whoever reached it could do everything',
        wanted="a first key (--first-key FILE makes one; or eventyard keys create while it listens on 127.0.0.1),"
        " a loopback address, or --insecure",
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
    if settings.is_loopback or yard.has_keys:
        return []
    logbook.OPEN_TO_ALL(address=url)
    return ["INSECURE: whoever reaches this address can do everything; no key is asked for."]


def follow_hangup(shown: Certificates) -> None:
    """On SIGHUP read the certificate again."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, shown)


def _reload(shown: Certificates) -> None:
    try:
        shown.reload()
    except InvalidSettings as error:
        logbook.TLS_KEPT(error=error.detail)
    else:
        logbook.TLS_RELOADED()
