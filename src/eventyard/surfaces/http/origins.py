"""Who may speak to a bus: programs, not the web pages that somebody looks at in a browser.

Every page that somebody looks at can send requests to 127.0.0.1. Two things tell such a request from a program's:

- a name that an attacker made point here (DNS rebinding) stands in `Host`, so only names and addresses of this machine may;
- browsers add `Origin` to what a page sends, and `Sec-Fetch-Site` to all, and no page can change them. Our own pages (a
  console) have our own host for their origin.

A browser that asks "may I" first (CORS) gets the same refusal, so no page of another origin ever gets an answer.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address

from eventyard.core.errors import ForbiddenOrigin, InvalidRequest


class OriginGuard:
    """`hosts` are names that the bus is reached by, beside the loopback's own names and addresses. `is_public`: it listens where others
    reach it too, by addresses that we need not know.
    """

    def __init__(self, hosts: tuple[str, ...] = (), *, is_public: bool = False) -> None:
        names = frozenset(host.lower() for host in hosts)
        self._is_any_with_key = is_public and not hosts
        self._is_own = lru_cache(maxsize=64)(lambda host: _is_own(host, names, is_public=is_public))

    def check(self, headers: Mapping[bytes, bytes], *, is_key_needed: bool = False) -> None:
        """Pass, or ForbiddenOrigin; InvalidRequest where no host is named at all.

        Who has to show a key gains nothing by a name of its own making: a page has no key, and no browser adds one.
        """
        host = headers.get(b"host")
        if host is None:
            raise InvalidRequest("found no Host", wanted="the header that HTTP/1.1 asks for", at="header host")
        if not self._is_own(host) and not (is_key_needed and self._is_any_with_key):
            wanted = "an address of this machine, or a name that the setting host-name has"
            raise ForbiddenOrigin(f'found "{_shown(host)}"', wanted=wanted, at="header host")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
            raise ForbiddenOrigin(f'found "{_shown(origin)}"', wanted="no other origin than the bus's own", at="header origin")
        if headers.get(b"sec-fetch-site") == b"cross-site":
            raise ForbiddenOrigin('found "cross-site"', wanted="same-origin or none", at="header sec-fetch-site")


def _is_own(host: bytes, hosts: frozenset[str], *, is_public: bool) -> bool:
    """The port does not count: it may have been mapped on the way, and a page cannot choose it for a rebound name.

    Nobody can make an address point elsewhere, so where others reach the bus any address may be its own.
    """
    name = _without_port(host.decode("latin-1").lower())
    if name == "localhost" or name.endswith(".localhost") or name in hosts:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return is_public or address.is_loopback


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _shown(header: bytes) -> str:
    return header[:100].decode("latin-1")
