"""Records: what was written is read, whole or not at all, and only behind what it was written behind."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import record
from eventyard.core.errors import Corrupt
from eventyard.core.record import BEGINNING, Diverged, Kind, Message, Reading, Record, Stand, TooNew

A, B = bytes(16), bytes(range(16))


def a_term(stand: Stand, term: int, leader: str = "a") -> bytes:
    led = msgspec.structs.replace(stand, term=term, leader=leader)
    (said,) = record.messages(Kind.TERM, b"", led, id=A, bytes_max=10)
    return said


def led_by(leader: str = "a") -> tuple[Reading, list[bytes]]:
    """A journal of which one has read the first term record, and that record."""
    reading = Reading(BEGINNING)
    first = a_term(BEGINNING, 1, leader)
    assert reading.take(1, first) is not None
    return reading, [first]


def changes(stand: Stand, body: bytes, *, id: bytes = A, bytes_max: int = 10) -> list[bytes]:  # noqa: A002 - it is the record's id
    return list(record.messages(Kind.CHANGES, body, stand, id=id, bytes_max=bytes_max))


def take_all(reading: Reading, said: list[bytes]) -> list[Record]:
    first = reading.stand.sequence + 1
    return [found for number, one in enumerate(said, first) if (found := reading.take(number, one)) is not None]


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 30))
def test_records_are_read_as_they_were_written(bodies: list[bytes], bytes_max: int) -> None:
    reading, _ = led_by()
    found = []
    for body in bodies:
        said = changes(reading.stand, body, bytes_max=bytes_max)
        assert all(len(record.read(one).body) <= bytes_max for one in said)
        found += take_all(reading, said)

    assert [one.body for one in found] == bodies
    assert [one.stand.sequence for one in found] == sorted({one.stand.sequence for one in found})


@given(st.binary(max_size=40), st.data())
def test_a_flipped_bit_is_noticed(body: bytes, data: st.DataObject) -> None:
    reading, _ = led_by()
    (said,) = changes(reading.stand, body, bytes_max=100)
    at, bit = data.draw(st.integers(0, len(said) - 1)), data.draw(st.integers(0, 7))
    harmed = bytearray(said)
    harmed[at] ^= 1 << bit

    with pytest.raises(Corrupt):
        reading.take(2, bytes(harmed))


@given(st.binary(max_size=80))
def test_bytes_that_are_no_message_are_damaged(said: bytes) -> None:
    with pytest.raises(Corrupt):
        record.read(said)


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=2, max_size=6), st.data())
def test_what_lacks_a_message_or_has_two_changed_round_is_another_journal(bodies: list[bytes], data: st.DataObject) -> None:
    writing, journal = led_by()
    for number, body in enumerate(bodies):
        said = changes(writing.stand, body, id=number.to_bytes(16, "big"))
        take_all(writing, said)
        journal += said
    gone = data.draw(st.integers(0, len(journal) - 2))
    harmed = journal[:gone] + journal[gone + 1 :]

    with pytest.raises(Diverged):
        take_all(Reading(BEGINNING), harmed)


def test_a_journal_goes_on_from_any_whole_record() -> None:
    reading, journal = led_by()
    stands = [reading.stand]
    for body in (b"one", b"two " * 10, b"three"):
        journal += changes(reading.stand, body)
        stands += [found.stand for found in take_all(reading, journal[reading.stand.sequence :])]

    for stand in stands:
        assert take_all(Reading(stand), journal[stand.sequence :])[-1:] in ([], [Record(Kind.CHANGES, b"three", stands[-1])])


def test_a_record_whose_last_part_is_missing_is_void_behind_a_new_term() -> None:
    reading, _ = led_by()
    *some, _last = changes(reading.stand, b"x" * 25)
    assert take_all(reading, some) == []

    assert [found.kind for found in take_all(reading, [a_term(reading.stand, 2, "b")])] == [Kind.TERM]
    assert [found.body for found in take_all(reading, changes(reading.stand, b"next"))] == [b"next"]


def test_a_record_that_its_leader_gave_up_is_void_behind_its_next_one() -> None:
    reading, _ = led_by()
    take_all(reading, changes(reading.stand, b"x" * 25)[:2])

    assert [found.body for found in take_all(reading, changes(reading.stand, b"y" * 15, id=B))] == [b"y" * 15]


def test_a_part_without_those_before_it_makes_no_record() -> None:
    reading, _ = led_by()
    _, second, third = changes(reading.stand, b"x" * 25)

    orphans = []
    for one in (second, third):
        moved = msgspec.structs.replace(record.read(one), before=reading.stand.digest)
        orphans.append(reading.take(reading.stand.sequence + 1, record.spell(moved)))

    assert orphans == [None, None]


def test_a_record_of_a_term_that_is_over_is_refused() -> None:
    reading, _ = led_by("a")
    take_all(reading, [a_term(reading.stand, 2, "b")])
    old = msgspec.structs.replace(reading.stand, term=1, leader="a")

    with pytest.raises(Diverged, match="wanted one of b, in its term 2"):
        take_all(reading, changes(old, b"late"))


def test_a_record_of_another_leader_in_the_same_term_is_refused() -> None:
    reading, _ = led_by("a")

    with pytest.raises(Diverged):
        take_all(reading, changes(msgspec.structs.replace(reading.stand, leader="b"), b"mine"))


@pytest.mark.parametrize("term", [0, 1])
def test_a_term_that_does_not_rise_is_refused(term: int) -> None:
    reading, _ = led_by()

    with pytest.raises(Diverged, match="wanted one above 1"):
        reading.take(2, a_term(reading.stand, term, "b"))


def test_a_message_of_a_newer_spelling_is_not_guessed_at() -> None:
    said = record.spell(Message(Kind.CHANGES, 1, "a", A, bytes(16), 1, 1, b""))

    with pytest.raises(TooNew, match=r"spelling 2; wanted at most 1"):
        record.read(b"\x02" + said[1:])


def test_an_empty_body_is_one_message() -> None:
    assert len(changes(BEGINNING, b"")) == 1


def test_a_body_at_the_limit_is_one_message_and_one_past_it_two() -> None:
    assert [len(changes(BEGINNING, b"x" * size, bytes_max=10)) for size in (10, 11)] == [1, 2]
