"""The index and the evaluator are one: over every operator and form, however the rules and events are spelled, and however the
rules came to be what they are. `--hypothesis-profile=soak` looks a hundred times as long.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern, parse
from tests.support.pattern_crowds import VALUES, crowds
from tests.support.pattern_index import assert_lawful, index_of
from tests.support.pattern_neighbours import event_near
from tests.support.pattern_strategies import Vocabulary, vocabularies

EXAMPLES = settings().max_examples
"""Of the profile."""

UNHURRIED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


SEEDS = st.integers(0, 2**32)


@settings(deadline=None, suppress_health_check=UNHURRIED)
@given(st.data(), vocabularies, SEEDS)
def test_the_index_matches_exactly_what_the_evaluator_does(data: st.DataObject, vocabulary: Vocabulary, seed: int) -> None:
    texts = data.draw(st.lists(vocabulary.patterns, min_size=1, max_size=6))
    rules = dict(enumerate(map(parse, texts)))
    index = index_of(rules)
    events = data.draw(st.lists(vocabulary.events, max_size=3))
    events += [event_near(text, seed + number) for text in texts for number in range(6)]
    for body in [*events, *events[:2]]:  # An index learns what events look like, and must not learn wrong.
        assert_lawful(index, rules, body)


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=UNHURRIED)
@given(st.data(), vocabularies, st.sampled_from((20, 60, 60, 60, 300)))
def test_hundreds_of_rules_from_templates_match_exactly_what_the_evaluator_says(
    data: st.DataObject, vocabulary: Vocabulary, count: int
) -> None:
    crowd = data.draw(crowds(vocabulary))
    rules = {number: parse(crowd.pattern(number)) for number in range(count)}
    index = index_of(rules)
    drawn, asked = data.draw(vocabulary.events), data.draw(st.sampled_from(range(count)))
    events = [*crowd.events(asked, drawn), event_near(crowd.pattern(asked), asked)]
    for body in events:
        assert_lawful(index, rules, body)
    left = {number: pattern for number, pattern in rules.items() if number % 3}
    fewer = index
    for number in rules.keys() - left.keys():
        fewer = fewer.without(number)
    for body in crowd.events(asked - asked % 3, drawn):
        assert_lawful(fewer, left, body)
    for body in events[:2]:
        assert_lawful(index, rules, body)


class LiveRules(RuleBasedStateMachine):
    """Rules come, change and go, one by one and in crowds. Every version of the index that was kept stays what it was."""

    @initialize(vocabulary=vocabularies, data=st.data())
    def begin(self, vocabulary: Vocabulary, data: st.DataObject) -> None:
        self.vocabulary = vocabulary
        self.crowd = data.draw(crowds(vocabulary))
        self.index, self.patterns = Index(), dict[int, Pattern]()
        self.kept = [(self.index, self.patterns)]
        self.asked, self.texts = [b"{}"], dict[int, str]()

    @rule(key=st.integers(0, 9), data=st.data())
    def put(self, key: int, data: st.DataObject) -> None:
        self._put(key, data.draw(self.vocabulary.patterns))

    @rule(first=st.sampled_from((0, 7, 30)), count=st.sampled_from((1, 20, 60)), shift=st.sampled_from((0, 0, 100)))
    def put_a_crowd(self, first: int, count: int, shift: int) -> None:
        for number in range(first, first + count):
            self._put(1_000 + number, self.crowd.pattern(number + shift))

    @rule(key=st.integers(0, 10))
    def remove(self, key: int) -> None:
        self._remove(key)

    @rule(first=st.sampled_from((0, 7, 30)), count=st.sampled_from((1, 20, 90)), step=st.sampled_from((1, 2, 7)))
    def remove_a_crowd(self, first: int, count: int, step: int) -> None:
        for number in range(first, first + count, step):
            self._remove(1_000 + number)

    @rule()
    def keep_this_version(self) -> None:
        self.kept.append((self.index, self.patterns))

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        self._ask(data.draw(self.vocabulary.events))

    @rule(value=st.sampled_from(VALUES), number=st.sampled_from(range(60)), data=st.data())
    def ask_a_crowd(self, value: str, number: int, data: st.DataObject) -> None:
        self._ask(self.crowd.event(value, number, data.draw(self.vocabulary.events)))

    @rule(key=st.integers(0, 9), seed=SEEDS)
    def ask_about_a_rule(self, key: int, seed: int) -> None:
        text = self.texts.get(key)
        if text is not None:
            self._ask(event_near(text, seed))

    @rule(data=st.data())
    def ask_an_old_version(self, data: st.DataObject) -> None:
        index, rules = data.draw(st.sampled_from(self.kept))
        assert_lawful(index, rules, data.draw(st.sampled_from(self.asked)))

    @invariant()
    def it_knows_how_many_rules_it_has(self) -> None:
        assert len(getattr(self, "index", ())) == len(getattr(self, "patterns", ()))

    def teardown(self) -> None:
        for index, rules in [*self.kept, (self.index, self.patterns)]:
            assert dict(index.items()) == rules
            assert [key for key in (*range(12), *range(1_000, 1_200)) if key in index] == sorted(rules)
            assert_lawful(index, rules, self.asked[-1])

    def _ask(self, body: bytes) -> None:
        self.asked.append(body)
        assert_lawful(self.index, self.patterns, body)

    def _put(self, key: int, text: str) -> None:
        self.texts[key] = text
        pattern = parse(text)
        self.index = self.index.with_rule(key, pattern)
        self.patterns = {**self.patterns, key: pattern}

    def _remove(self, key: int) -> None:
        self.index = self.index.without(key)
        self.patterns = {other: pattern for other, pattern in self.patterns.items() if other != key}


TestLiveRules = LiveRules.TestCase
TestLiveRules.settings = settings(
    max_examples=EXAMPLES // 2, stateful_step_count=20, deadline=None, suppress_health_check=UNHURRIED
)
