"""Documents of buses and rules as files hold them: read alike from JSON, TOML and YAML, and refused with the place."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.cli import declared, documents, yaml_text
from eventyard.cli.failures import Failure
from eventyard.core import limits

JSON = """
{"bus": "shop", "owner": "team-a",
 "buses": [{"name": "shop", "retention": {"max_age_s": 86400}}],
 "rules": [{"name": "rewards", "pattern": {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 1.10]}]}},
            "target": {"http": {"url": "http://127.0.0.1:9/"}}, "start": {"time": "2026-01-31T08:00:00Z"}}]}
"""
YAML = """
# Who gets what.
bus: shop
owner: team-a
buses:
  - {name: shop, retention: {max_age_s: 86400}}
rules:
  - name: rewards
    pattern:
      type: [order.paid]
      data:
        total: [{numeric: [">=", 1.10]}]
    target: {http: {url: "http://127.0.0.1:9/"}}
    start: {time: 2026-01-31T08:00:00Z}
"""
TOML = """
bus = "shop"
owner = "team-a"
[[buses]]
name = "shop"
retention.max_age_s = 86400
[[rules]]
name = "rewards"
pattern.type = ["order.paid"]
pattern.data.total = [{numeric = [">=", 1.10]}]
target.http.url = "http://127.0.0.1:9/"
start.time = "2026-01-31T08:00:00Z"
"""


def read(tmp_path: Path, text: str, name: str = "shop.yaml") -> Any:
    file = tmp_path / name
    file.write_text(text)
    return declared.read(documents.read_all([str(file)]), bus="default", owner="")


def refusal(tmp_path: Path, text: str, name: str = "shop.yaml") -> str:
    with pytest.raises(Failure) as raised:
        read(tmp_path, text, name)
    assert str(tmp_path / name) in raised.value.message
    return raised.value.message.removeprefix(str(tmp_path / name))


@pytest.mark.parametrize(("text", "name"), [(JSON, "a.json"), (YAML, "a.yaml"), (YAML, "a.yml"), (TOML, "a.toml"), (JSON, "a")])
def test_every_format_says_the_same(tmp_path: Path, text: str, name: str) -> None:
    found = read(tmp_path, text, name)
    [rule] = found.rules
    assert (rule.bus, rule.name, rule.said.owner) == ("shop", "rewards", "team-a")
    assert b"1.10" in bytes(rule.said.pattern)
    assert json.loads(bytes(rule.said.pattern)) == {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 1.1]}]}}
    assert rule.said.start is not None
    assert [bus.retention.asked for bus in found.buses] == [{"max_age_s": 86400}]


def test_the_example_of_the_reference_is_a_document(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md").read_text()
    found = read(tmp_path, page.partition("```yaml\n")[2].partition("```")[0])
    assert [rule.called for rule in found.rules] == ["shop/rewards"]
    assert [bus.name for bus in found.buses] == ["shop"]


RULE = {"name": "a", "pattern": {"type": ["x"]}, "target": {"queue": {}}}
BUS = {"name": "b", "retention": {"max_bytes": 5}}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{json.dumps(RULE)}\n{json.dumps(BUS)}\n", "a.jsonl"),
        (json.dumps([RULE, BUS], indent=1), "a.json"),
        (f"{json.dumps(RULE)}\n---\n{json.dumps(BUS)}\n---\n", "a.yaml"),
        (json.dumps({"rules": [RULE], "buses": [BUS]}), "a.json"),
    ],
)
def test_a_file_holds_one_document_or_many(tmp_path: Path, text: str, name: str) -> None:
    found = read(tmp_path, text, name)
    assert [rule.called for rule in found.rules] == ["default/a"]
    assert [bus.name for bus in found.buses] == ["b"]


def test_a_folder_is_read_whole_and_hidden_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "in" / "it").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for number, place in enumerate(("a.json", "in/b.yaml", "in/it/c.jsonl")):
        (tmp_path / place).write_text(json.dumps(RULE | {"name": f"r{number}"}))
    for place in (".git/d.json", ".hidden.yaml", "README.md"):
        (tmp_path / place).write_text("{")
    assert [rule.name for rule in declared.read(documents.read_all([str(tmp_path)]), bus="default", owner="").rules] == [
        "r0",
        "r1",
        "r2",
    ]


def test_a_number_looks_like_one_only_where_yaml_1_2_says_so() -> None:
    text = "[no, on, 012, 0o12, 0x1f, 1:30, 1_000, 1e3, .5, +1.5, 2026-01-31, ~, '7', 1e400, 12345678901234567890123]"
    [values] = yaml_text.read(text.encode())
    told = json.loads(msgspec.json.encode(values), parse_float=str, parse_int=int)
    assert told[:2] == ["no", "on"]
    assert told[2:5] == [12, 10, 31]
    assert told[5:7] == ["1:30", "1_000"]
    assert told[7:10] == ["1e3", "0.5", "1.5"]
    assert told[10:] == ["2026-01-31", None, "7", "1e400", 12345678901234567890123]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [", "line 2, column 1: while parsing a flow node"),
        ("rules:\n  - name: a\n    name: b\n", "line 3, column 5: found the key 'name' twice"),
        ("rules: !!python/object/apply:os.system [ls]", "found the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("rules: !secret x", "found the tag !secret"),
        ("rules: .inf", "found '.inf' as a float"),
        ("? [a]\n: b", "found a key that is no text"),
        ("&a [*a]", "nested too deeply"),
        ("just text", "found text; wanted an object"),
        ("name: a", 'found neither "rules", "buses", nor'),
        ("rules: [{name: a, pattern: {type: x}, target: {queue: {}}}]", ", rules/0, rule a: at /pattern/type: found"),
        (
            "{name: a, pattern: {type: [x]}, target: {quue: {}}}",
            ', rule a: at /target/quue: unknown field "quue"; wanted perhaps',
        ),
        ("{name: 12, pattern: {}, target: {}}", ": at /name: found no text"),
        ("{pattern: {type: [x]}, target: {queue: {}}}", ': no "name" of the rule'),
        ("{name: a/b, pattern: {type: [x]}, target: {queue: {}}}", 'found the rule name "a/b"'),
        ("buses: [{name: b, retention: {max_age: 5}}]", ', buses/0: at /retention/max_age: unknown field "max_age"'),
        ("{rules: [], rule: []}", 'unknown field "rule"'),
        ("rules: {}", "at /rules: found no array"),
        ("rules: [5]", "at /rules/0: found no object"),
        ("{buses: [{name: b}, {name: b}]}", "found the bus b a second time"),
    ],
)
def test_a_document_that_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{"rules": [],\n "rules": []}', 'the key "rules" twice'),
        ("a.json", '{"rules": [}', "line 1 column 12"),
        ("a.json", '{"rules": NaN}', "found NaN"),
        ("a.json", "[" * 100_000, ""),
        ("a.toml", "rules = 1\nrules = 2", "Cannot overwrite a value"),
        ("a.toml", "rules = inf", "found inf"),
    ],
)
def test_each_format_is_strict(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text, name)


def test_a_few_lines_that_mean_billions_of_values_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 12)]
    assert f"more than {limits.DECLARED_VALUES_MAX} values" in refusal(tmp_path, "\n".join(lines))


def test_a_rule_that_stands_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"{json.dumps(RULE)}\n---\n{json.dumps(RULE)}\n")
    assert ", document 2: found the rule default/a a second time" in said
    assert "document 1, rule a" in said


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def numbers_spelt(value: Any) -> Any:
    return json.loads(
        json.dumps(value),
        parse_int=lambda text: msgspec.Raw(text.encode()),
        parse_float=lambda text: msgspec.Raw(text.encode()),
    )


@settings(deadline=None)  # How long one takes is the machine's business.
@given(st.lists(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_what_is_written_as_yaml_is_read_as_it_was(values: list[Any]) -> None:
    text = yaml_text.written([numbers_spelt(value) for value in values])
    read_back = [json.loads(msgspec.json.encode(value)) for value in yaml_text.read(text.encode())]
    assert read_back == values
    assert text.replace("\n", "").isprintable()


@settings(deadline=None)  # How long one takes is the machine's business.
@given(
    st.sampled_from(
        ["no", "0o7", "1e3", "012", "~", "", "null", "true", "1:30", "=", "<<", ".inf", "0x1F", "-", "2026-01-31", "y"]
    )
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    [[read_back]] = yaml_text.read(yaml_text.written([[text]]).encode())
    assert read_back == text
