"""TLS by certificate and key files, which can be read anew while connections go on.

What the listener holds is one context for good; it looks up the one in force as each handshake begins. A new pair is loaded into a new
context and takes over whole or not at all, so a file half written, or a key of another certificate, changes nothing.
"""

import ssl
from pathlib import Path

from eventyard.core.errors import InvalidSettings


class Certificates:
    """`context` is for the listener. Connections that were made stay with the certificate they were made with."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self.context = self._current = self._loaded()
        # Called for every handshake, also where the client names no host (OpenSSL 1.1.1 and newer).
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """Read the files again. InvalidSettings where they cannot be used; then all stays as it was."""
        self._current = self._loaded()

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._current

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except ssl.SSLError as error:
            raise self._unusable(f"found no pair that OpenSSL can use: {error.reason or error}") from error
        except OSError as error:
            raise self._unusable(f"cannot read them: {error.strerror}") from error
        return context

    def _unusable(self, found: str) -> InvalidSettings:
        wanted = f"a certificate (with its chain) and its key as PEM, in {self._certificate} and {self._key}"
        return InvalidSettings(found, wanted=wanted, at="tls-certificate")


def _no_password() -> str:
    """OpenSSL would ask for it on the terminal."""
    raise InvalidSettings(
        "found a key that a password protects", wanted="one without, in a file with the mode 0600", at="tls-key"
    )
