"""How an event is spelled as an HTTP message: what the content type says, and attributes in headers (CloudEvents HTTP binding)."""

import re
from collections.abc import Iterable

from eventyard.core.errors import InvalidEvent, UnsupportedContentType


def content_type_parts(content_type: str) -> tuple[str, str]:
    """The media type without its parameters, in lower case, and the charset that it names."""
    essence, _, parameters = content_type.partition(";")
    charset = _CHARSET.search(";" + parameters)
    return essence.strip().lower(), charset[1].lower() if charset else "utf-8"


def check_charset(charset: str) -> None:
    if charset not in ("utf-8", "utf8"):
        raise UnsupportedContentType(f"the charset {charset}", wanted="utf-8", at="header content-type")


def attributes_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of the headers, names in lower case, those that begin with `ce-`, as text."""
    attributes: dict[str, str] = {}
    for header, value in headers:
        if header.startswith("ce-"):
            name = header[3:]
            if name in attributes:
                raise InvalidEvent("the header a second time", wanted="each attribute once", at=f"header {header}")
            attributes[name] = _header_text(header, value)
    return attributes


def _header_text(header: str, value: str) -> str:
    """The attribute's text: double quotes undone, then one round of percent-decoding (HTTP binding, 3.1.3.2).

    Python's servers hand over header bytes as Latin-1; bytes that were sent as bare UTF-8 are taken as that.
    """
    if "%" not in value and '"' not in value and value.isascii():
        return value
    if quoted := _QUOTED.fullmatch(value):
        value = _QUOTED_PAIR.sub(r"\1", quoted[1])
    if _STRAY_PERCENT.search(value):
        wanted = "%25 for a percent sign (CloudEvents HTTP binding, 3.1.3.2)"
        raise InvalidEvent("a percent sign without two hexadecimal digits", wanted=wanted, at=f"header {header}")
    try:
        return _PERCENT.sub(lambda byte: bytes.fromhex(byte[1].decode()), _header_bytes(value)).decode()
    except UnicodeDecodeError:
        wanted = "UTF-8, percent-encoded"
        raise InvalidEvent("bytes that are not UTF-8", wanted=wanted, at=f"header {header}") from None


def _header_bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
