"""The quick ways agree with the exact way on every body, right or wrong."""

import json
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventyard.core import strict_json
from eventyard.core.errors import InvalidJSON
from eventyard.core.pattern.comparison import is_held
from eventyard.core.strict_json import decode, decode_exactly

WEBHOOKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "github_webhooks.jsonl"

numbers = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(280, 330).map(lambda digits: "9" * digits),
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.text('"\\:u02a/[]{}', max_size=8),
)
spelled_texts = st.tuples(texts, st.booleans()).map(lambda pair: json.dumps(pair[0], ensure_ascii=pair[1]))
odd_strings = st.sampled_from(
    [
        '"a"',
        '"\\u0061"',
        '"\\u0022:"',
        '"\\\\u0022"',
        '"\\":"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\\/"',
        '":"',
        '""',
    ]
)
strings = st.one_of(spelled_texts, odd_strings)
spaces = st.sampled_from(["", " ", "\n\t", "\r"])
words = st.one_of(numbers, strings, st.sampled_from(["true", "false", "null", "NaN", "-0", "-0.0", "1e400"]))


def array(parts: tuple[str, list[str]]) -> str:
    space, items = parts
    return f"[{space}" + f"{space},".join(items) + f"{space}]"


def mapping(parts: tuple[str, list[tuple[str, str]]]) -> str:
    space, pairs = parts
    return "{" + ",".join(f"{space}{key}{space}:{value}{space}" for key, value in pairs) + "}"


documents = st.recursive(
    words,
    lambda inner: st.one_of(
        st.tuples(spaces, st.lists(inner, max_size=4)).map(array),
        st.tuples(spaces, st.lists(st.tuples(strings, inner), max_size=4)).map(mapping),
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    body = bytearray(draw(documents).encode())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        length = draw(st.integers(0, 2))
        body[place : place + length] = draw(
            st.one_of(
                st.sampled_from([b'"', b"\\", b",", b":", b"[", b"}", b"\xff", b"\xc3", b"0", b"\x00"]),
                st.binary(max_size=2),
            )
        )
    return bytes(body)


def outcome(way: Any, body: bytes) -> tuple[str, str]:
    try:
        return "value", repr(way(body))
    except InvalidJSON as refusal:
        return "refusal", str(refusal)


@given(documents)
@example('{"a":1,"a":1}')
@example('{"a":"\\u0022","a":"x"}')
@example('{"\\u0022":1,"":1,"":1}')
@example('["\\u0022\\u0022\\u0022\\u0022",{"a":"","a":""}]')
@example('["\\\\u0022",{"a":1,"a":1}]')
@example('{"a":"\\ud800","a":1}')
@example('{"a":1e999,"a":1}')
@example("[1234567890123456e3,0.000000000000001,1.23456789012345e-300,1e-310,12e-0099]")
@example("[0e-999,0e99999999,0.0E-1000,1e-9999999]")
@example('{"a":0.30000000000000004,"a":0.30000000000000004}')
@example('{"a b":[0.30000000000000004, {"ab":1,"ab":1}]}')
@example('{"\\u0022":0.30000000000000004,"":1,"":1}')
@example("[0.30000000000000004,0.1000000000000000055511151231257827]")
@example("[" * 65 + "0.30000000000000004" + "]" * 65)
@example("[0.30000000000000004," + "9" * 309 + "]")
@example("[ -0, -0.0,\t1E-7,0.00001,1e22,100000000000000000000.0]")
def test_the_quick_ways_and_the_exact_way_agree(document: str) -> None:
    body = document.encode()
    assert outcome(decode, body) == outcome(decode_exactly, body)


@given(numbers)
@example("5e-324")
@example("4e-324")
@example("0.1000000000000000055511151231257827")
def test_a_real_number_is_a_float_exactly_where_a_double_stands_for_it(number: str) -> None:
    kind, _ = outcome(decode, number.encode())
    if kind == "value":
        value = decode(number.encode())
        assert isinstance(value, int) or isinstance(value, float) is is_held(Decimal(number)), value


@given(documents)
@example("[1e400,-9e-400,0e99999999]")
@example('{"a":1e999,"a":1}')
def test_they_agree_where_any_number_may_stand(document: str) -> None:
    body = document.encode()
    quick, exact = partial(decode, any_number=True), partial(decode_exactly, any_number=True)
    assert outcome(quick, body) == outcome(exact, body)


@given(mutated())
def test_the_quick_ways_and_the_exact_way_agree_on_broken_bodies(body: bytes) -> None:
    assert outcome(decode, body) == outcome(decode_exactly, body)


@given(st.binary(max_size=12))
def test_the_quick_ways_and_the_exact_way_agree_on_any_bytes(body: bytes) -> None:
    assert outcome(decode, body) == outcome(decode_exactly, body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    )
)
def test_the_exact_way_reads_what_the_standard_library_writes(document: Any) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        assert decode_exactly(json.dumps(document, separators=separators).encode()) == document
        assert decode(json.dumps(document, separators=separators, ensure_ascii=False).encode()) == document


@given(documents)
def test_an_accepted_text_means_to_the_standard_library_what_it_means_to_us(document: str) -> None:
    kind, value = outcome(decode, document.encode())
    if kind == "value":
        assert repr(_as_floats(decode(document.encode()))) == repr(_as_floats(json.loads(document)))
        assert value


def _as_floats(document: Any) -> Any:
    match document:
        case dict():
            return {key: _as_floats(value) for key, value in document.items()}
        case list():
            return [_as_floats(item) for item in document]
        case str() | bool() | None:
            return document
        case _:
            return float(document) + 0.0


def test_real_webhooks_take_the_quick_way_and_agree_with_the_exact_way() -> None:
    if not WEBHOOKS.exists():
        pytest.skip(f"{WEBHOOKS} is not here")
    for body in WEBHOOKS.read_bytes().split(b"\n")[:-1]:
        assert strict_json._decode_provably(body, 64) == decode_exactly(body)
