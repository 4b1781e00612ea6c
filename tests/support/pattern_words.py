# ruff: noqa: RUF001 - letters that are taken for others are what this is about; 0.0.0.0 is a word here.
"""Words that patterns and events of the laws are made of: as JSON text, since spelling is part of what must not matter.

A law finds nothing where patterns and events have nothing in common. So each example takes a few keys and one or two families
of words that are easily taken for one another, and both sides are drawn from those.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple


class Family(NamedTuple):
    """Strings, and numbers as JSON spells them."""

    strings: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


KEYS = (
    ("x", "y"),
    ("x", "y", "z"),
    ("a", "b", "a.b", "b.a", "a.a"),
    ("a", "b", "c", "a.b", "b.c", "a.b.c"),
    ("type", "source", "data", "x", "data.x"),
    ("", ".", "a", "a.", ".a"),
    ("é", "e\u0301", "ß", '"', "\\", "a b"),
    ("$or", "x", "numeric", "exists", "x.exists"),
    ("__init__", "0", "class", "None", "🐟"),
)

SPACED = "10.0.0.5 ", " 10.0.0.5"

FAMILIES = {
    "words": Family(words("a ab abc abcd b bc cab abab aab aba")),
    "case": Family(words("a A aB Ab AB ab abA ABa")),
    "sharp s": Family(words("ß SS ss Ss ẞ straße STRASSE strasse ßs sß sss")),
    "dotted i": Family(words("i I ı İ i\u0307 I\u0307 \u0307 ii İi i\u0307i ıI")),
    "signs": Family(words("k K \u212a s S ſ å Å \u212b a\u030a A\u030a KS ks \u212aſ")),
    "ligatures": Family(words("ﬁ fi FI Fi ŉ ʼn ʼN ǆ ǅ Ǆ ﬀi FFI ΐ")),
    "sigma": Family(words("σ ς Σ ας ΑΣ ασ ασα ΑΣΑ")),
    "composed": Family(words("é e\u0301 É E\u0301 e E éé \u0301")),
    "astral": Family(words("😀 😀😀 𐐀 𐐨 𐐀a \ud7ff \uffff \ue000 z")),
    "quoted": Family(('"', '""', '"a"', "a", "\\", "\\\\", '\\"', "\\a", "\n", "\\n", "\u0000", "a\u0000", "/", "\u2028")),
    "stars": Family(("*", "**", "a*b", "a\\*b", "ab", "a*", "*b", "\\", "a\\b", "axb", "a\nb", "?", "a.b")),
    "like numbers": Family(words("5 5.0 5e0 05 -5 +5 true null 0 NaN"), words("5 5.0 -5 0")),
    "fives": Family(
        ("5",), words("5 5.0 5e0 50e-1 0.5e1 5.00000000000000000000 5E+0 4.9999999999999999 5.0000000000000001 -5")
    ),
    "zeros": Family((), words("0 -0 0.0 -0.0 0e5 -0E-7 1e-320 -1e-320 5e-324 1e-400 1e-307 1")),
    "tenths": Family((), words("0.1 1e-1 0.10 0.1000000000000000055 0.10000000000000001 0.30000000000000004 0.3 0.2 -0.1")),
    "2 to the 53": Family(
        (),
        words("9007199254740991 9007199254740992 9007199254740993 9007199254740994 -9007199254740993 9007199254740992.5")
        + words("9007199254740993.0 9007199254740992.0 9.007199254740992e15 9.007199254740993e15"),
    ),
    "16 digits": Family(
        (),
        words("999999999999999 1000000000000000 1000000000000001 1234567890123456 10000000000000000 1e15 1e16")
        + words("123456789012345.6 123456789012345.7 1.0000000000000000e15"),
    ),
    "64 bits": Family(
        (),
        words("9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615")
        + words("18446744073709551616 18446744073709551616.0 1.8446744073709552e19 36893488147419103232"),
    ),
    "huge": Family(
        (),
        words("1e22 10000000000000000000000 1e23 100000000000000000000000 99999999999999991611392 1.7976931348623157e308")
        + words("1e308 123456789012345678901234567890 123456789012345678901234567891 -1e308")
        + ("1" + "0" * 308,),
    ),
    "prices": Family((), words("0.5 1 1.5 2 2.5 2.50 -1.5 3e0 19.99 20 300 3e2 300.0")),
    "true and one": Family(("true", "1", ""), words("1 1.0 0 0.0")),
    "addresses": Family(
        words("10.0.0.5 10.0.0.0 10.0.0.255 10.0.1.0 10.0.0.05 010.0.0.5 10.0.0 10.0.0.5/24 167772165 ::ffff:10.0.0.5")
        + words("１0.0.0.5 255.255.255.255 0.0.0.0")
        + SPACED
    ),
    "addresses of version 6": Family(
        words(":: ::1 2001:db8::1 2001:DB8::1 2001:db8:0:0:0:0:0:1 2001:0db8::0001 2001:db8:: 2001:db8:1:: ::10.0.0.5")
        + words("::a00:5 fe80::1%eth0 fe80::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 10.0.0.5")
    ),
}

RANGES = words(
    "10.0.0.0/24 10.0.0.5/24 10.0.0.5/31 0.0.0.0/0 10.0.0.255/23 255.255.255.255/31"
    " ::/0 ::/96 2001:db8::/32 2001:db8::1/127 2001:DB8::1/64 ::ffff:0:0/96 ffff::/16"
)

COMMON = Family(("", "a"), ("0", "1"))
LITERALS = ("true", "false", "null")
BEYOND_DOUBLE = ("2e308", "1e400", "-1e400", "10e399", "1" + "0" * 400)
"""Numbers that no event may hold and a pattern may list."""


def spellings(text: str) -> tuple[str, ...]:
    """Ways in which JSON spells a string: as it is, in ASCII, and with every character escaped."""
    units = text.encode("utf-16-be")
    escaped = "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
    return tuple(dict.fromkeys((json.dumps(text, ensure_ascii=False), json.dumps(text).replace("/", "\\/"), f'"{escaped}"')))


def pieces(strings: Iterable[str]) -> tuple[str, ...]:
    """Beginnings, ends and middles of them: what a prefix, a suffix or a wildcard may ask for. None is empty."""
    cuts = ((), (None, 1), (None, 2), (None, -1), (1, None), (2, None), (-1, None), (1, 2), (1, -1))
    return tuple(dict.fromkeys(piece for text in strings for cut in cuts if (piece := text[slice(*cut)] if cut else text)))
