"""When queues fall due: what is ready, whose turn it is, and that no rule is looked at for another's sake."""

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import rule
from eventyard.core.due import _STALE_MAX, Due
from eventyard.core.rule import RuleRecord, Status
from tests.support.builders import a_rule_document

PUSHED, _ = rule.parse(a_rule_document())
PULLED, _ = rule.parse(a_rule_document(target={"queue": {}}))


def record(uid: int) -> RuleRecord:
    return RuleRecord(uid, f"rule-{uid}", uid, PULLED if uid % 2 else PUSHED, Status.LIVE, 1, 1)


def records(uids: Iterable[int]) -> dict[int, RuleRecord]:
    return {uid: record(uid) for uid in uids}


def ready(due: Due, work_ms: int) -> tuple[list[int], list[int]]:
    pushed, pulled = due.reach(work_ms)
    return sorted(pushed, key=pushed.__getitem__), sorted(pulled, key=pulled.__getitem__)


def test_what_is_due_later_is_ready_when_its_time_comes() -> None:
    due = Due(records((2, 3, 4)))
    for uid, at_ms in ((2, 300), (3, 100), (4, 200)):
        due.set(uid, at_ms)
    assert ready(due, 99) == ([], [])
    assert due.next_ms == 100
    assert ready(due, 250) == ([4], [3])
    assert due.next_ms == 300
    assert ready(due, 300) == ([4, 2], [3])
    assert due.next_ms is None


def test_who_was_given_something_stands_last() -> None:
    due = Due(records((2, 4, 6)))
    for uid in (2, 4, 6):
        due.set(uid, 0)
    assert ready(due, 0)[0] == [2, 4, 6]
    due.serve(4)
    due.serve(3)
    assert ready(due, 0)[0] == [2, 6, 4]


def test_a_bound_that_moves_on_takes_a_rule_back() -> None:
    due = Due(records((2,)))
    due.set(2, 0)
    assert ready(due, 10)[0] == [2]
    due.set(2, 50)
    assert (ready(due, 10)[0], due.next_ms) == ([], 50)
    due.forget(2)
    assert (ready(due, 60)[0], due.next_ms, len(due)) == ([], None, 0)


def test_a_paused_rule_is_not_ready_until_it_is_resumed() -> None:
    known = records((2,))
    due = Due(known)
    due.set(2, 0)
    known[2] = msgspec.structs.replace(known[2], is_paused=True)
    due.refile(2)
    assert (ready(due, 10)[0], due.get(2)) == ([], 0)
    known[2] = record(2)
    due.refile(2)
    assert ready(due, 10)[0] == [2]


def test_a_rule_that_is_pulled_from_now_on_is_ready_there() -> None:
    known = records((2,))
    due = Due(known)
    due.set(2, 0)
    assert ready(due, 0) == ([2], [])
    known[2] = msgspec.structs.replace(known[2], rule=PULLED)
    due.refile(2)
    assert ready(due, 0) == ([], [2])


def test_a_rule_that_is_held_is_ready_when_its_time_comes_or_it_is_released() -> None:
    due = Due(records((2, 4)))
    for uid in (2, 4):
        due.set(uid, 0)
        due.reach(0)
        due.hold(uid, 50)
    assert (ready(due, 10)[0], due.next_ms) == ([], 50)
    due.set(2, 5)  # Whatever else comes meanwhile.
    due.release(4)
    assert ready(due, 49)[0] == [4]
    assert ready(due, 50)[0] == [4, 2]


def test_an_edit_ends_what_held_a_rule() -> None:
    due = Due(records((2,)))
    due.set(2, 0)
    due.hold(2, 50)
    due.refile(2)
    assert ready(due, 10)[0] == [2]


def test_a_bound_that_moves_for_ever_leaves_no_heap_behind() -> None:
    due = Due(records((2,)))
    for at_ms in range(10 * _STALE_MAX, 0, -1):
        due.set(2, at_ms)
    assert len(due._later) <= _STALE_MAX + 2
    assert (due.next_ms, ready(due, 1)[0]) == (1, [2])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 20)),
        st.tuples(st.just("forget"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("serve"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("hold"), st.integers(0, 5), st.integers(0, 20)),
        st.tuples(st.just("release"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("pause"), st.integers(0, 5), st.integers(0, 1)),
        st.tuples(st.just("reach"), st.just(0), st.integers(0, 20)),
    )
)


@given(steps)
def test_ready_is_what_its_time_says(story: list[tuple[str, int, int]]) -> None:
    known, times, held, now_ms = records(range(6)), dict[int, int](), dict[int, int](), 0
    due = Due(known)
    for verb, uid, number in story:
        if verb == "set":
            due.set(uid, number)
            times[uid] = number
        elif verb == "forget":
            due.forget(uid)
            times.pop(uid, None)
        elif verb == "hold":
            due.hold(uid, number)
            held[uid] = number
        elif verb == "release":
            due.release(uid)
            held.pop(uid, None)
        elif verb == "serve":
            due.serve(uid)
        elif verb == "pause":
            known[uid] = msgspec.structs.replace(known[uid], is_paused=bool(number))
            due.refile(uid)
            held.pop(uid, None)
        else:
            now_ms = max(now_ms, number)
        pushed, pulled = due.reach(now_ms)
        held = {uid: until_ms for uid, until_ms in held.items() if until_ms > now_ms}
        ready_ms = {uid: max(at_ms, held.get(uid, 0)) for uid, at_ms in times.items()}
        assert {*pushed, *pulled} == {uid for uid, at_ms in ready_ms.items() if at_ms <= now_ms and not known[uid].is_paused}
        assert all(uid % 2 == 0 for uid in pushed)
        assert due.next_ms == min((at_ms for at_ms in ready_ms.values() if at_ms > now_ms), default=None)
