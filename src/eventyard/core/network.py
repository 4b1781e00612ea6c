"""The network policy: which addresses this bus may call, and which URLs a rule may name.

Whoever may write a rule can make the bus send requests from where the bus stands, so a target is untrusted input. The
danger is not the host name but the address behind it, and a name can change its address at any time. Hence two checks:

- `check_url` when a rule is saved, without DNS: it refuses what can never be right, and it rebuilds the URL from the parts
  it understood, so that no second parser (libcurl's) can read another host out of the same text.
- `Policy.verdict` on every address, by the transport: on what the resolver answered, and once more on the peer that the
  socket is about to connect to.

Why our own list: `ipaddress.is_global` calls NAT64, 6to4, Teredo and Azure's 168.63.129.16 global. The list holds every row
of IANA's two special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry and
.../iana-ipv6-special-registry, with the globally reachable anycast rows, which serve no HTTP), multicast, the withdrawn
ranges, and all of IPv6 outside 2000::/3. The order matters only for the reason given: narrow ranges stand first.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import idna
import msgspec

from eventyard.core import limits
from eventyard.core.errors import ForbiddenTarget, InvalidRule

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class SpecialRange(msgspec.Struct, frozen=True):
    """A range that is never a target on the open internet, and why."""

    network: Network
    reason: str


def _ranges(network: type[IPv4Network] | type[IPv6Network], rows: tuple[tuple[str, str], ...]) -> tuple[SpecialRange, ...]:
    return tuple(SpecialRange(network=network(text), reason=reason) for text, reason in rows)


LOOPBACK_4 = IPv4Network("127.0.0.0/8")
LOOPBACK_6 = IPv6Network("::1/128")

SPECIAL_4 = _ranges(
    IPv4Network,
    (
        ("0.0.0.0/8", "this network"),  # RFC 791; Linux connects 0.0.0.0 to itself
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "shared by a carrier's NAT"),  # RFC 6598; Alibaba's metadata is 100.100.100.200
        ("127.0.0.0/8", "loopback"),  # RFC 1122
        (
            "168.63.129.16/32",
            "Azure's host service",
        ),  # learn.microsoft.com "What is IP address 168.63.129.16"
        ("169.254.0.0/16", "link-local, with the clouds' metadata"),  # RFC 3927; 169.254.169.254
        ("172.16.0.0/12", "private"),  # RFC 1918
        ("192.0.0.0/24", "IETF protocol assignments"),  # RFC 6890; Oracle's metadata is 192.0.0.192
        ("192.0.2.0/24", "documentation"),  # RFC 5737
        ("192.31.196.0/24", "AS112 anycast"),  # RFC 7535
        ("192.52.193.0/24", "multicast tunnelling"),  # RFC 7450
        ("192.88.99.0/24", "6to4 relays"),  # RFC 7526, deprecated
        ("192.168.0.0/16", "private"),  # RFC 1918
        ("192.175.48.0/24", "AS112 anycast"),  # RFC 7534
        ("198.18.0.0/15", "benchmarking"),  # RFC 2544
        ("198.51.100.0/24", "documentation"),  # RFC 5737
        ("203.0.113.0/24", "documentation"),  # RFC 5737
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("240.0.0.0/4", "reserved"),  # RFC 1112, with the limited broadcast of RFC 8190
    ),
)

SPECIAL_6 = _ranges(
    IPv6Network,
    (
        ("::/128", "unspecified"),  # RFC 4291
        ("::1/128", "loopback"),  # RFC 4291
        ("::/96", "IPv4-compatible"),  # RFC 4291, deprecated
        ("::ffff:0:0/96", "IPv4-mapped"),  # RFC 4291
        ("::ffff:0:0:0/96", "IPv4-translated"),  # RFC 7915
        ("64:ff9b::/96", "NAT64"),  # RFC 6052
        ("64:ff9b:1::/48", "local NAT64"),  # RFC 8215
        ("100::/64", "discarded"),  # RFC 6666
        ("100:0:0:1::/64", "dummy prefix"),  # RFC 9780
        ("2001::/32", "Teredo"),  # RFC 4380
        ("2001:2::/48", "benchmarking"),  # RFC 5180
        ("2001:3::/32", "multicast tunnelling"),  # RFC 7450
        ("2001:4:112::/48", "AS112 anycast"),  # RFC 7535
        ("2001:10::/28", "ORCHID"),  # RFC 4843, deprecated
        ("2001:20::/28", "ORCHIDv2"),  # RFC 7343
        ("2001:30::/28", "drone identifiers"),  # RFC 9374
        ("2001::/23", "IETF protocol assignments"),  # RFC 2928
        ("2001:db8::/32", "documentation"),  # RFC 3849
        ("2002::/16", "6to4"),  # RFC 3056
        ("2620:4f:8000::/48", "AS112 anycast"),  # RFC 7534
        ("3ffe::/16", "6bone, returned"),  # RFC 3701
        ("3fff::/20", "documentation"),  # RFC 9637
        ("5f00::/16", "segment routing"),  # RFC 9602
        ("fc00::/7", "private (unique local)"),  # RFC 4193; Amazon's metadata is fd00:ec2::254
        ("fe80::/10", "link-local"),  # RFC 4291
        ("fec0::/10", "site-local"),  # RFC 3879, deprecated
        ("ff00::/8", "multicast"),  # RFC 4291
        ("::/3", "not global unicast"),  # RFC 4291 section 2.4: IANA delegates from 2000::/3 only
        ("4000::/2", "not global unicast"),
        ("8000::/1", "not global unicast"),
    ),
)

_EMBEDDING_LAST = tuple(
    IPv6Network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


class Policy(msgspec.Struct, frozen=True):
    """What the operator said. `allowed` are the `--allow-network` ranges and win over the list above.

    Loopback is allowed while the bus itself listens only on loopback: then whoever may write a rule is on this machine.
    """

    is_loopback_allowed: bool = False
    allowed: tuple[Network, ...] = ()

    def verdict(self, address: Address) -> str | None:
        """Why `address` may not be called, as a phrase for a person, or None when it may.

        An address that carries an IPv4 address inside (NAT64, 6to4, ...) must pass with both: an operator who allows
        64:ff9b::/96 means the internet behind that translator, not the translator's own neighbours.
        """
        reason = self._own_verdict(address)
        if reason or isinstance(address, IPv4Address):
            return reason
        for inner in _embedded(address):
            reason = self._own_verdict(inner)
            if reason:
                return f"{reason}, inside {address}"
        return None

    def _own_verdict(self, address: Address) -> str | None:
        if self._is_allowed(address):
            return None
        ranges = SPECIAL_4 if isinstance(address, IPv4Address) else SPECIAL_6
        return next(
            (f"{special.reason} ({special.network})" for special in ranges if address in special.network),
            None,
        )

    def _is_allowed(self, address: Address) -> bool:
        if self.is_loopback_allowed and (address in LOOPBACK_4 or address in LOOPBACK_6):
            return True
        return any(address in network for network in self.allowed)


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address of a transition mechanism leads to. ::1 leads nowhere else."""
    value = int(address)
    if address in LOOPBACK_6:
        return
    if any(address in network for network in _EMBEDDING_LAST):
        yield IPv4Address(value & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        yield IPv4Address((value >> 80) & 0xFFFFFFFF)
    if address in _TEREDO:
        yield IPv4Address((value >> 64) & 0xFFFFFFFF)
        yield IPv4Address(~value & 0xFFFFFFFF)


class Url(msgspec.Struct, frozen=True):
    """A target that passed. `text` is rebuilt from the parts, pure ASCII; `host` is lower case and without brackets.

    `address` is set when the host is an address and no name.
    """

    text: str
    scheme: str
    host: str
    port: int
    address: IPv4Address | IPv6Address | None


_PORTS = {"http": 80, "https": 443}
_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?P<fragment>#.*)?\Z")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?P<colon>:(?P<port>.*))?\Z")
_BAD_TEXT = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]|\s")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_HOST_LENGTH_MAX = 253  # RFC 1035 section 2.3.4, without the root's dot


def check_url(url: str, policy: Policy, *, at: str = "/target/http/url") -> Url:
    """`url` as a target, or `InvalidRule` (its form) or `ForbiddenTarget` (where it leads), without asking DNS.

    A host that is an address, in whatever spelling a C library would take (2130706433, 0x7f.1, 0177.0.0.1), is judged here;
    a name is judged when it is called, except localhost, which is loopback by RFC 6761. A fragment is refused: it is never
    sent, so whoever wrote it meant something else. A final dot of the host is dropped. No message repeats path or query,
    for they may hold secrets.
    """
    parsed = parse_url(url, at=at)
    reason = _host_verdict(parsed, policy)
    if reason:
        raise ForbiddenTarget(
            f"found the host {parsed.host}: {reason}",
            wanted="a public address, or one of a network that the operator allowed with --allow-network",
            at=at,
        )
    return parsed


def _host_verdict(url: Url, policy: Policy) -> str | None:
    if url.address is not None:
        return policy.verdict(url.address)
    is_localhost = url.host == "localhost" or url.host.endswith(".localhost")
    return policy.verdict(LOOPBACK_4[1]) if is_localhost else None


def parse_url(url: str, *, at: str = "/target/http/url") -> Url:
    """`check_url` without the policy: only the form, and the URL rebuilt from its parts."""
    scheme, authority, rest = _split(url, at)
    host_text, port = _split_authority(authority, scheme, at)
    host, address = _read_host(host_text, at)
    return Url(text=_build(scheme, host, port, rest), scheme=scheme, host=host, port=port, address=address)


def _split(url: str, at: str) -> tuple[str, str, str]:
    if len(url) > limits.TARGET_URL_LENGTH_MAX:
        raise InvalidRule(f"found a URL of {len(url)} characters", wanted=f"at most {limits.TARGET_URL_LENGTH_MAX}", at=at)
    if _BAD_TEXT.search(url):
        raise InvalidRule("found white space, a control character or a backslash in the URL", wanted="none of them", at=at)
    shape = _SHAPE.match(url)
    if not shape or shape["scheme"].lower() not in _PORTS:
        raise InvalidRule("found another kind of URL", wanted="http://host/... or https://host/...", at=at)
    if shape["fragment"]:
        raise InvalidRule("found a fragment (#...) in the URL", wanted="none, it would not be sent", at=at)
    if not shape["rest"].isascii():
        raise InvalidRule("found non-ASCII characters after the host", wanted="them percent-encoded", at=at)
    return shape["scheme"].lower(), shape["authority"], shape["rest"]


def _split_authority(authority: str, scheme: str, at: str) -> tuple[str, int]:
    if "@" in authority:
        raise InvalidRule("found credentials in the URL", wanted="none, put them into a header", at=at)
    parts = _AUTHORITY.match(authority)
    if not parts or not parts["host"]:
        raise InvalidRule(f'found "{authority[:60]}" for the host', wanted="a host name or an address", at=at)
    if not parts["colon"]:
        return parts["host"], _PORTS[scheme]
    if not _PORT.match(parts["port"]) or not 1 <= int(parts["port"]) <= 65535:
        raise InvalidRule(f'found the port "{parts["port"][:20]}"', wanted="1 to 65535", at=at)
    return parts["host"], int(parts["port"])


def _read_host(text: str, at: str) -> tuple[str, Address | None]:
    if text.startswith("["):
        inner = _read_ipv6(text[1:-1], at)
        return inner.compressed, inner
    host = _read_name(text, at)
    if not _NUMBER.match(host.rpartition(".")[2]):
        return host, None
    address = _read_ipv4(host, at)
    return str(address), address


def _read_ipv6(text: str, at: str) -> IPv6Address:
    """Without a zone (fe80::1%eth0): it names an interface of one machine, and such addresses are link-local anyway."""
    try:
        address = IPv6Address(text)
    except ValueError:
        address = None
    if address is None or "%" in text:
        raise InvalidRule(f'found "[{text[:60]}]" for the host', wanted="an IPv6 address in brackets", at=at)
    return address


def _read_name(text: str, at: str) -> str:
    """The host in ASCII and lower case. UTS 46 comes first, because it turns full-width digits and dots into plain ones.

    An underscore is no host name by RFC 952 but stands in many container networks.
    """
    host = _to_ascii(text, at).lower().removesuffix(".")
    if len(host) > _HOST_LENGTH_MAX or not all(_LABEL.match(label) for label in host.split(".")):
        raise InvalidRule(f'found "{text[:60]}" for the host', wanted="a host name or an address", at=at)
    return host


def _to_ascii(text: str, at: str) -> str:
    if text.isascii():
        return text
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidRule(f'found "{text[:60]}" for the host', wanted="an international domain name", at=at) from error


def _read_ipv4(host: str, at: str) -> IPv4Address:
    """An IPv4 address as `inet_aton` reads it (and WHATWG URL section 3.5): 1 to 4 numbers, each decimal, octal or hexadecimal.

    The last number fills all bytes that are left. What ends in a number and is no such address is no host at all.
    """
    numbers = [_read_number(part) for part in host.split(".")]
    value = _join(numbers)
    if value is None:
        raise InvalidRule(f'found "{host[:60]}" for the host', wanted="an IPv4 address, as 192.0.2.7", at=at)
    return IPv4Address(value)


def _read_number(text: str) -> int | None:
    if not _NUMBER.match(text) or len(text) > 16:
        return None
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    try:
        return int(text, 8) if text.startswith("0") else int(text)
    except ValueError:
        return None


def _join(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    if len(known) != len(numbers) or len(known) > 4:
        return None
    *heads, last = known
    if any(head > 255 for head in heads) or last >= 256 ** (5 - len(known)):
        return None
    return last + sum(head << (24 - 8 * place) for place, head in enumerate(heads))


def _build(scheme: str, host: str, port: int, rest: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    place = "" if port == _PORTS[scheme] else f":{port}"
    path = rest if rest.startswith("/") else f"/{rest}"
    return f"{scheme}://{shown}{place}{path}"
