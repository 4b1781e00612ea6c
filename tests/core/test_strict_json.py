from decimal import Decimal
from sys import float_info
from typing import Any

import pytest

from eventyard.core.errors import InvalidJSON
from eventyard.core.limits import EXPONENT_DIGITS_MAX, JSON_DEPTH_MAX, NUMBER_CHARACTERS_MAX
from eventyard.core.strict_json import decode, pointer


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" \t\n\r1 ", 1),
        (b"-0", 0),
        (b"0.1", 0.1),
        (b"1.50", 1.5),
        (b"1e5", 100000.0),
        (b"5E-1", 0.5),
        (b"0e999", 0.0),
        (b"-0.0000000000000000000", 0.0),
        (b"0.10000000000000000000", 0.1),
        (b"123456789.012345", 123456789.012345),
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775809", -(2**63) - 1),
        (b'"\\u0041\\ud83d\\ude00\\/\\"\\u0022\\b"', 'A\N{GRINNING FACE}/""\b'),
        ('"é\u2028\x7f"'.encode(), "é\u2028\x7f"),
        (b'{"":{"a":[true,false,null]},"\\u0022":[]}', {"": {"a": [True, False, None]}, '"': []}),
    ],
)
def test_strict_json_is_read(body: bytes, value: Any) -> None:
    decoded = decode(body)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "text", ["0.12345678901234567", "1234567890123456.55", "1.2345678901234567891e3", "4e-324", "1e-400", "-1.2345e-320"]
)
def test_a_number_that_a_double_would_lose_keeps_its_decimal_text(text: str) -> None:
    for decoded in in_every_way(text):
        assert type(decoded) is Decimal
        assert decoded == Decimal(text)


@pytest.mark.parametrize(
    "text",
    ["0.1234567890123456", "1234567890123456.5", "1.2345678901234560000e3", "0.30000000000000004", "-1e-310", "5e-324"],
)
def test_a_number_that_a_double_prints_as_is_that_double(text: str) -> None:
    for decoded in in_every_way(text):
        assert type(decoded) is float
        assert Decimal(repr(decoded)) == Decimal(text)


def in_every_way(text: str) -> list[Any]:
    """A number by itself; beside another one that is written otherwise than a double prints; with blanks; beside an escaped quote."""
    bodies = (f"[{text}]", f"[{text},0.10000000000000000]", f"[ {text} ]", f'[{text},"\\u0022"]')
    return [decode(body.encode())[0] for body in bodies]


@pytest.mark.parametrize("text", ["1e400", "-1.5e309", "1e-400"])
def test_a_number_beyond_a_double_is_read_where_any_number_may_stand(text: str) -> None:
    assert decode(text.encode(), any_number=True) == Decimal(text)
    assert decode(b"9" * 400, any_number=True) == 10**400 - 1


@pytest.mark.parametrize(
    ("body", "at", "found"),
    [
        (b"", "byte 0", "the end of the text"),
        (b"  ", "byte 2", "the end of the text"),
        (b"\xef\xbb\xbf{}", "byte 0", "byte order mark"),
        (b'{"a":"\xff"}', "byte 6", "0xff"),
        (b'"\xed\xa0\x80"', "byte 1", "0xed"),
        (b'"\xc0\x80"', "byte 1", "0xc0"),
        (b"NaN", "byte 0", "'N'"),
        (b"[1,Infinity]", "byte 3", "'I'"),
        (b"[-Infinity]", "byte 1", "'-'"),
        (b"truE", "byte 0", "'t'"),
        (b"True", "byte 0", "'T'"),
        (b"01", "byte 1", "'1'"),
        (b"1.", "byte 1", "'.'"),
        (b".5", "byte 0", "'.'"),
        (b"+1", "byte 0", "'+'"),
        (b"1e", "byte 1", "'e'"),
        (b"0x10", "byte 1", "'x'"),
        (b"\x0c1", "byte 0", r"'\x0c'"),
        (b"{} {}", "byte 3", "'{'"),
        (b"{}\x00", "byte 2", r"'\x00'"),
        (b"[1,]", "byte 3", "']'"),
        (b"[1 2]", "byte 3", "'2'"),
        (b"[1", "byte 2", "the end of the text"),
        (b'{"a":1,}', "byte 7", "'}'"),
        (b'{"a" 1}', "byte 5", "'1'"),
        (b'{"a"', "byte 4", "the end of the text"),
        (b"{a:1}", "byte 1", "'a'"),
        (b"{'a':1}", "byte 1", '"\'"'),
        (b'"abc', "byte 4", "the end of the text"),
        (b'"a\nb"', "byte 2", r"'\n'"),
        (b'"a\\', "byte 2", "a backslash"),
        (b'"a\\x"', "byte 2", "a backslash"),
        (b'"\\u12g4"', "byte 1", "\\u without"),
        ('{"é":"\\ud800"}'.encode(), "byte 7", r"lone surrogate \ud800"),
        (b'"\\ud800\\u0041"', "byte 1", r"lone surrogate \ud800"),
        (b'"\\udc00\\ud800"', "byte 1", r"lone surrogate \udc00"),
        (b'{"\\uDFFF":1}', "byte 2", r"lone surrogate \uDFFF"),
        (b'{"a":1,"a":1}', "/a", "the key 'a' a second time"),
        (b'{"a":1,"\\u0061":1}', "/a", "the key 'a' a second time"),
        (b'{"x":[0,{"a/b~":{"":1,"":2}}]}', "/x/1/a~1b~0/", "the key '' a second time"),
        (b'{"\\u0022":1,"a":{"b":1,"b":"\\""}}', "/a/b", "the key 'b' a second time"),
        (b'{"n":123456789012345678901234567890,"a":{"b":1,"b":2}}', "/a/b", "the key 'b' a second time"),
        (b'{"a":[1,1e309]}', "/a/1", "the number 1e309, beyond a double"),
        (b'{"a":' + b"9" * 310 + b"}", "/a", "beyond a double"),
        (b"1e9999999", "byte 0", "the exponent 9999999"),
    ],
)
def test_what_is_not_strict_json_is_refused_and_its_place_named(body: bytes, at: str, found: str) -> None:
    with pytest.raises(InvalidJSON) as refusal:
        decode(body)
    assert refusal.value.at == at
    assert found in refusal.value.found
    assert refusal.value.wanted


def test_depth_is_bounded() -> None:
    decode(nested(JSON_DEPTH_MAX))
    decode(b'{"a":' * JSON_DEPTH_MAX + b"1" + b"}" * JSON_DEPTH_MAX)
    for depth in (JSON_DEPTH_MAX + 1, 900, 100_000):
        with pytest.raises(InvalidJSON, match="deeper nesting"):
            decode(nested(depth))


def test_a_wide_document_is_not_a_deep_one() -> None:
    assert len(decode(b"[" + b",".join([nested(JSON_DEPTH_MAX - 1)] * 50) + b"]")) == 50
    with pytest.raises(InvalidJSON, match="deeper nesting"):
        decode(b"[" + b",".join([nested(JSON_DEPTH_MAX)] * 50) + b"]")
    assert decode(b'"' + b"[" * 1000 + b'"') == "[" * 1000


def test_the_length_of_a_number_is_bounded() -> None:
    longest = b"0." + b"1" * (NUMBER_CHARACTERS_MAX - 2)
    assert decode(longest) == Decimal(longest.decode())
    for number in (longest + b"1", b"1" * 10_000, b"1" * (NUMBER_CHARACTERS_MAX + 1)):
        with pytest.raises(InvalidJSON, match=f"a number of {len(number)} characters"):
            decode(number, any_number=True)


def test_the_length_of_an_exponent_is_bounded() -> None:
    longest = b"1e" + b"9" * EXPONENT_DIGITS_MAX
    assert decode(longest, any_number=True) == Decimal(longest.decode())
    with pytest.raises(InvalidJSON, match="exponent"):
        decode(longest + b"9", any_number=True)


def test_the_greatest_double_is_the_greatest_number() -> None:
    assert decode(b"1.7976931348623157e308") == float_info.max
    assert decode(b"17976931348623157" + b"0" * 292) == 17976931348623157 * 10**292
    for beyond in (b"1.7976931348623159e308", b"17976931348623159" + b"0" * 292, b"-1" + b"0" * 309):
        for padding in range(31):
            with pytest.raises(InvalidJSON, match="beyond a double"):
                decode(b" " * padding + b"[" + beyond + b"]")


def test_a_message_stays_short_whatever_was_sent() -> None:
    key = b'"' + b"k" * 5_000 + b'"'
    with pytest.raises(InvalidJSON) as refusal:
        decode(b"{" + key + b":1," + key + b":2}")
    assert len(str(refusal.value)) < 200
    assert refusal.value.at == "byte 10008"


def test_a_pointer_escapes_what_rfc_6901_escapes() -> None:
    assert pointer(["a/b", 0, "~1", ""]) == "/a~1b/0/~01/"
    assert pointer([]) == ""
