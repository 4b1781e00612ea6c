"""`eventyard apply` and `export`: what documents say is what is there, once and again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventyard.client import Client
from tests.support.commands import Command
from tests.support.terminal import on_a_terminal, read_rest, read_until

QUEUE: dict[str, Any] = {"queue": {}}


def rule(name: str, bus: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "bus": bus, "pattern": {"type": [name]}, "target": QUEUE} | more


@pytest.fixture
def wanted(tmp_path: Path, bus: str) -> Any:
    """Writes a file of documents, and names it."""

    def write(*rules: dict[str, Any], **more: Any) -> str:
        file = tmp_path / "wanted.json"
        file.write_text(json.dumps({"rules": list(rules), "buses": [{"name": bus}]} | more))
        return str(file)

    return write


def test_documents_come_to_be_and_a_second_time_there_is_nothing_to_do(eventyard: Command, bus: str, wanted: Any) -> None:
    new = f"{bus}-new"
    file = wanted(rule("a", bus), rule("b", new, start="earliest"), buses=[{"name": new, "retention": {"max_age_s": 86400}}])
    dry = eventyard("apply", "-f", file, "--dry-run")
    assert dry.code == 6
    assert dry.out.splitlines() == [
        f"+ bus {new}",
        "    retention.max_age_s",
        "      + 86400",
        f'+ rule {bus}/a  {{"type":["a"]}} -> its queue',
        f'+ rule {new}/b  {{"type":["b"]}} -> its queue',
        "3 to create, 0 as they should be",
    ]
    assert eventyard("buses", "show", new).code == 1
    assert eventyard("apply", "-f", file, "--yes").out.endswith("3 created\n")
    assert eventyard("rules", "show", "b", "--bus", new, "--json").documents[0]["start"] == "earliest"
    for again in (("--dry-run",), ("--yes",), ()):
        assert eventyard("apply", "-f", file, *again) == (0, "nothing to change: 3 as they should be\n", "")


def test_what_the_server_warns_of_is_told(eventyard: Command, bus: str, wanted: Any) -> None:
    file = wanted(rule("a", bus, target={"bus": {"name": f"{bus}-nowhere"}}))
    told = eventyard("apply", "-f", file, "--yes")
    assert told.code == 0
    assert f"rule {bus}/a: warning: there is no bus {bus}-nowhere" in " ".join(told.err.split())
    again = eventyard("apply", "-f", wanted(rule("b", bus, target={"bus": {"name": f"{bus}-nowhere"}})), "--yes", "--json")
    [document] = [document for document in again.documents if document.get("done")]
    assert document["warnings"][0].startswith("there is no bus")


def test_a_change_is_told_field_by_field(eventyard: Command, bus: str, wanted: Any) -> None:
    eventyard("apply", "-f", wanted(rule("a", bus, owner="t", delivery={"max_attempts": 5})), "--yes")
    changed = rule("a", bus, owner="t", description="Points", pattern={"type": ["a"], "data": {"n": [1]}})
    dry = eventyard("apply", "-f", wanted(changed, buses=[{"name": bus, "retention": {"max_bytes": 5_000_000}}]), "--dry-run")
    assert dry.out.splitlines()[1:4] == ["    retention.max_bytes", "      - 10737418240", "      + 5000000"]
    assert dry.out.splitlines()[4:] == [
        f"~ rule {bus}/a",
        "    description",
        '      - ""',
        '      + "Points"',
        "    pattern.data",
        '      + {"n":[1]}',
        "    delivery.max_attempts",
        "      - 5",
        "      + 185",
        "2 to change, 0 as they should be",
    ]
    as_json = eventyard("apply", "-f", wanted(changed), "--dry-run", "--json").documents
    assert [(one["change"], one["name"], len(one["differences"])) for one in as_json] == [("change", "a", 3)]


def test_only_a_pattern_that_says_something_else_is_a_change(eventyard: Command, bus: str, wanted: Any) -> None:
    eventyard("rules", "put", "a", "--bus", bus, "--queue", "--pattern", '{"data":  {"n": [1.10]}, "type": ["x"]}')
    same = wanted(rule("a", bus)).replace("wanted", "same")
    Path(same).write_text(
        f'{{"name": "a", "bus": "{bus}", "target": {{"queue": {{}}}}, "pattern": {{"type": ["x"], "data": {{"n": [1.10]}}}}}}'
    )
    assert eventyard("apply", "-f", same, "--yes").out == "nothing to change: 1 as they should be\n"
    Path(same).write_text(Path(same).read_text().replace("1.10", "1.1"))
    assert eventyard("apply", "-f", same, "--dry-run").code == 6


def test_pruning_takes_rules_of_the_owner_on_the_buses_named_and_no_others(eventyard: Command, bus: str, wanted: Any) -> None:
    other = f"{bus}-other"
    eventyard("buses", "create", other)
    for name, where, owner in (("a", bus, "t"), ("b", bus, "t"), ("c", bus, "u"), ("d", bus, ""), ("e", other, "t")):
        eventyard("rules", "put", name, "--bus", where, "--queue", "--type", name, "--owner", owner)
    file = wanted(rule("a", bus, owner="t"))
    assert eventyard("apply", "-f", file, "--yes").out == "nothing to change: 2 as they should be\n"
    dry = eventyard("apply", "-f", file, "--prune", "--dry-run")
    assert dry.out == f'- rule {bus}/b  of "t", in no document\n1 to delete, 2 as they should be\n'
    assert eventyard("apply", "-f", file, "--prune", "--yes").out.endswith("1 deleted\n")
    left = [document["name"] for document in eventyard("rules", "list", "--bus", bus, "--json").documents]
    assert left == ["a", "c", "d"]
    assert eventyard("rules", "show", "e", "--bus", other).code == 0


def test_an_owner_label_is_given_to_rules_that_name_none(eventyard: Command, bus: str, wanted: Any) -> None:
    eventyard("apply", "-f", wanted(rule("a", bus)), "--owner", "t", "--yes")
    assert eventyard("rules", "show", "a", "--bus", bus, "--json").documents[0]["owner"] == "t"
    conflict = eventyard("apply", "-f", wanted(rule("a", bus, owner="u")), "--owner", "t", "--yes")
    assert conflict.code == 2
    assert 'rule a: at /owner: found "u", and --owner says "t"' in conflict.err
    assert "give --owner LABEL" in eventyard("apply", "-f", wanted(rule("b", bus)), "--prune", "--yes").err


def test_a_rule_of_another_owner_is_left_alone_unless_it_is_taken_over(eventyard: Command, bus: str, wanted: Any) -> None:
    eventyard("rules", "put", "a", "--bus", bus, "--queue", "--type", "x", "--owner", "u")
    file = wanted(rule("a", bus, owner="t"), rule("b", bus, owner="t"))
    refused = eventyard("apply", "-f", file, "--yes")
    assert (refused.code, refused.out) == (2, "")
    assert 'belongs to "u"' in refused.err
    assert eventyard("apply", "-f", file, "--yes", "--take-over").out.endswith("1 created, 1 changed\n")


def test_where_a_rule_started_is_history_and_is_said(eventyard: Command, bus: str, wanted: Any) -> None:
    eventyard("rules", "put", "a", "--bus", bus, "--queue", "--type", "a", "--start", "earliest")
    same = eventyard("apply", "-f", wanted(rule("a", bus, start={"position": 7}), buses=[]), "--yes")
    assert (same.code, same.out) == (0, "nothing to change: 1 as they should be\n")
    assert (
        'it started at earliest, which {"position":7} in the document cannot change; eventyard rules seek moves it' in same.err
    )
    changed = eventyard("apply", "-f", wanted(rule("a", bus, start="latest", description="x")), "--yes")
    assert changed.out.endswith("1 changed\n")
    ordered = eventyard("apply", "-f", wanted(rule("a", bus, delivery={"order": "key"})), "--yes")
    assert (ordered.code, ordered.out) == (2, "")
    assert 'at /delivery/order: found "key", and the rule was created with "none"' in ordered.err


def test_nothing_is_sent_where_a_document_cannot_be_used(eventyard: Command, bus: str, wanted: Any) -> None:
    refused = eventyard("apply", "-f", wanted(rule("a", bus), rule("b", bus, pattern={"type": "b"})), "--yes")
    assert refused.code == 2
    assert "wanted.json, rules/1, rule b: at /pattern/type: found" in refused.err
    refused = eventyard("apply", "-f", wanted(rule("a", bus), rule("b", "nowhere")), "--yes")
    assert 'found no bus "nowhere"' in refused.err
    assert eventyard("rules", "list", "--bus", bus, "--json").out == ""


def test_what_the_server_refuses_is_named_and_the_others_are_done_but_nothing_is_deleted(
    eventyard: Command, bus: str, wanted: Any
) -> None:
    eventyard("rules", "put", "old", "--bus", bus, "--queue", "--type", "x", "--owner", "t")
    inside = {"http": {"url": "http://169.254.169.254/"}}
    file = wanted(rule("a", bus, target=inside, owner="t"), rule("b", bus, owner="t"))
    ended = eventyard("apply", "-f", file, "--yes", "--prune")
    assert ended.code == 3
    assert ended.out.endswith("1 created\n")
    assert f"rule {bus}/a refused: " in ended.err
    assert f"rule {bus}/old is left" in ended.err
    assert [one["name"] for one in eventyard("rules", "list", "--bus", bus, "--json").documents] == ["b", "old"]


def test_without_a_terminal_changes_want_a_yes(eventyard: Command, bus: str, wanted: Any) -> None:
    ended = eventyard("apply", "-f", wanted(rule("a", bus)))
    assert ended.code == 2
    assert "next:  add --yes" in ended.err
    assert eventyard("apply", "-f", wanted(rule("a", bus)), "--json").code == 2
    assert eventyard("rules", "list", "--bus", bus, "--json").out == ""


def test_what_was_changed_since_the_plan_was_shown_is_not_overwritten(
    eventyard: Command, server: str, bus: str, wanted: Any
) -> None:
    eventyard("rules", "put", "a", "--bus", bus, "--queue", "--type", "a", "--owner", "t")
    eventyard("rules", "put", "old", "--bus", bus, "--queue", "--type", "a", "--owner", "t")
    file = wanted(rule("a", bus, owner="t", description="ours"), rule("b", bus, owner="t"))
    with on_a_terminal("apply", "-f", file, "--prune", "--url", server) as (process, terminal):
        assert "1 to create, 1 to change, 1 to delete" in read_until(terminal, "make these changes? [y/N]: ")
        eventyard("rules", "put", "a", "--bus", bus, "--queue", "--type", "a", "--owner", "t", "--description", "theirs")
        os.write(terminal, b"y\n")
        said = read_rest(terminal)
        assert process.wait() == 3
    assert "refused: found the rule" in said
    assert "1 created" in said
    documents = eventyard("rules", "list", "--bus", bus, "--json").documents
    assert [(one["name"], one["description"]) for one in documents] == [("a", "theirs"), ("b", ""), ("old", "")]


def test_documents_are_taken_from_a_pipe(eventyard: Command, bus: str) -> None:
    text = f"name: a\nbus: {bus}\npattern: {{type: [x]}}\ntarget: {{queue: {{}}}}\n"
    assert eventyard("apply", "-f", "-", "--yes", stdin=text).code == 0
    shown = eventyard("rules", "show", "a", "--bus", bus, "--json").out
    assert eventyard("apply", "-f", "-", "--bus", bus, stdin=shown).out == "nothing to change: 1 as they should be\n"


# export


def test_an_export_leaves_out_what_is_so_anyway(eventyard: Command, bus: str) -> None:
    flags = ("--bus", bus, "--to", "http://127.0.0.1:9/", "--owner", "t")
    eventyard("rules", "put", "a", *flags, "--pattern", '{"data": {"n": [1.10]}, "type": ["no"]}', "--start", "earliest")
    told = eventyard("export", "--bus", bus, "--owner", "t").out
    assert "1.10" in told
    assert yaml.safe_load(told)["rules"] == [
        {
            "name": "a",
            "bus": bus,
            "owner": "t",
            "pattern": {"data": {"n": [1.10]}, "type": ["no"]},
            "target": {"http": {"url": "http://127.0.0.1:9/"}},
            "start": "earliest",
        }
    ]
    assert "buses" in eventyard("export", "--bus", bus).out
    assert eventyard("export", "--bus", bus, "--owner", "u").out == "{}\n"


@pytest.mark.parametrize("form", ["yaml", "lines", "folder", "json folder"])
def test_what_is_exported_comes_back_as_it_was(eventyard: Command, server: str, bus: str, tmp_path: Path, form: str) -> None:
    eventyard("buses", "set-retention", bus, "--max-age", "3d")
    for name, start in (("a", "earliest"), ("b.v2", "latest"), ("c", "3"), ("d", "2026-01-31T08:00:00Z")):
        eventyard("rules", "put", name, "--bus", bus, "--type", name, "--to", "http://127.0.0.1:9/", "--start", start)
    delivery = {"order": "key", "key": "data.id", "backoff": {"initial_s": 0.5}}
    document = {
        "pattern": {"data": {"n": [{"numeric": [">", 1e2]}]}},
        "target": {"queue": {"lease_s": 5}},
        "delivery": delivery,
    }
    eventyard(
        "rules", "put", "e", "-", "--bus", bus, stdin=json.dumps(document | {"description": "zero\u200bwidth: #\n\u00e9\t"})
    )
    flags = {"yaml": (), "lines": ("--json",), "folder": ("-o", str(tmp_path)), "json folder": ("-o", str(tmp_path), "--json")}

    def exported() -> str:
        printed = eventyard("export", "--bus", bus, *flags[form]).out
        files = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*.*") if file.is_file()}
        return json.dumps(files) if files else printed

    first = exported()
    source = str(tmp_path) if "folder" in form else "-"
    assert eventyard("apply", "-f", source, stdin=first).out == "nothing to change: 6 as they should be\n"
    with Client(server) as client:
        wipe(client, bus)
    assert eventyard("apply", "-f", source, "--yes", stdin=first).out.endswith("5 created\n")
    assert exported() == first


def test_a_secret_is_never_shown_and_null_keeps_it(eventyard: Command, bus: str, wanted: Any) -> None:
    def target(value: str | None, **more: Any) -> dict[str, Any]:
        headers = {"authorization": {"secret": value}, "x-tenant": "acme"}
        return {"http": {"url": "http://127.0.0.1:9/", "headers": headers} | more}

    created = eventyard("apply", "-f", wanted(rule("a", bus, target=target("Bearer hidden"))), "--yes")
    exported = eventyard("export", "--bus", bus)
    kept = eventyard("apply", "-f", "-", "--dry-run", stdin=exported.out)
    assert kept.out == "nothing to change: 2 as they should be\n"
    assert yaml.safe_load(exported.out)["rules"][0]["target"] == target(None)
    changed = eventyard("apply", "-f", wanted(rule("a", bus, target=target(None, timeout_s=5))), "--yes")
    assert [line.strip() for line in changed.out.splitlines()[1:2]] == ["target.http.timeout_s"]
    anew = eventyard("apply", "-f", wanted(rule("a", bus, target=target("Bearer hidden", timeout_s=5))), "--dry-run")
    as_json = eventyard("apply", "-f", wanted(rule("a", bus, target=target("Bearer hidden"))), "--dry-run", "--json")
    assert '+ {"secret":"(not shown)"}' in anew.out
    assert "hidden" not in "".join(text for ended in (created, exported, changed, anew, as_json) for text in ended[1:])
    missing = eventyard("apply", "-f", wanted(rule("b", bus, target=target(None))), "--yes")
    assert (missing.code, "wanted the secret itself" in missing.err) == (3, True)


def test_signing_secrets_are_shown_as_how_many_there_are_and_one_is_put_beside_another(
    eventyard: Command, bus: str, wanted: Any
) -> None:
    def signed(*secrets: str | None) -> Any:
        http = {"url": "http://127.0.0.1:9/", "signing": {"secrets": [{"secret": secret} for secret in secrets]}}
        return wanted(rule("a", bus, target={"http": http}))

    first, second = (json.loads(eventyard("secrets", "new", "--json").out)["secret"] for _ in range(2))
    said = [eventyard("apply", "-f", signed(first), "--yes")]
    exported = eventyard("export", "--bus", bus)
    assert eventyard("apply", "-f", "-", "--dry-run", stdin=exported.out).out == "nothing to change: 2 as they should be\n"
    said += [exported, eventyard("apply", "-f", signed(second, None), "--yes")]
    assert '+ [{"secret":"(not shown)"},{"secret":null}]' in said[-1].out
    assert eventyard("apply", "-f", signed(None, None), "--dry-run").out == "nothing to change: 2 as they should be\n"
    said.append(eventyard("apply", "-f", signed(None), "--yes"))
    assert said[-1].code == 0
    assert not any(secret.removeprefix("whsec_") in text for ended in said for text in ended[1:] for secret in (first, second))
    bad = eventyard("apply", "-f", signed("hunter2"), "--yes")
    assert (bad.code != 0, "eventyard secrets new" in bad.err, "hunter2" in bad.err) == (True, True, False)


def test_a_file_of_a_rule_that_is_gone_is_named_and_stays(eventyard: Command, bus: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        eventyard("rules", "put", name, "--bus", bus, "--queue", "--type", "x")
    eventyard("export", "--bus", bus, "-o", str(tmp_path))
    eventyard("rules", "delete", "b", "--bus", bus)
    ended = eventyard("export", "--bus", bus, "-o", str(tmp_path))
    assert ended.code == 0
    assert ended.err.startswith(f"{tmp_path / bus / 'rules' / 'b.yaml'} was there before")


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
PATTERNS = st.dictionaries(
    st.sampled_from(["type", "source", "subject"]),
    st.lists(TEXT | st.builds(lambda text: {"prefix": text}, TEXT), min_size=1, max_size=3),
    min_size=1,
)
RULES = st.fixed_dictionaries(
    {
        "pattern": PATTERNS,
        "target": st.just(QUEUE)
        | st.builds(lambda lease: {"queue": {"lease_s": lease}}, st.floats(1, 60))
        | st.builds(lambda path: {"http": {"url": f"http://127.0.0.1:9/{path}"}}, st.sampled_from(["", "a", "no"])),
    },
    optional={
        "description": TEXT,
        "owner": TEXT,
        "start": st.sampled_from(["latest", "earliest", {"position": 1}]),
        "replay": st.sampled_from(["allow", "mark", "refuse"]),
        "delivery": st.fixed_dictionaries(
            {},
            optional={
                "max_attempts": st.integers(1, 1000),
                "max_age_s": st.floats(0, 1e6),
                "concurrency": st.integers(1, 10),
                "backoff": st.just({"factor": 1.5}),
            },
        ),
    },
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=st.lists(RULES, min_size=1, max_size=4))
def test_whatever_rule_there_is_comes_back_from_its_export(
    eventyard: Command, server: str, bus: str, rules: list[dict[str, Any]]
) -> None:
    def exported() -> str:
        return eventyard("export", "--bus", bus).out

    with Client(server) as client:
        for number, document in enumerate(rules):
            client.put_rule(f"r{number}", json.dumps(document), bus=bus)
        first = exported()
        wipe(client, bus)
        assert eventyard("apply", "-f", "-", "--yes", stdin=first).code == 0
        assert exported() == first
        wipe(client, bus)


def wipe(client: Client, bus: str) -> None:
    for found in list(client.rules(bus=bus)):
        client.delete_rule(found.name, bus=bus)


# Detectors

DETECTOR: dict[str, Any] = {
    "on": {"type": ["car.updated"]},
    "when": {"data": {"price": [{"numeric": ["<", 1.10]}]}},
    "emit": {"rise": {"type": "car.cheap"}},
}


def test_detectors_are_applied_exported_and_pruned_like_rules(eventyard: Command, bus: str, wanted: Any) -> None:
    detector = DETECTOR | {"name": "cheap", "bus": bus, "owner": f"t-{bus}", "for_s": 5}
    file = wanted(rule("a", bus, owner=f"t-{bus}"), detectors=[detector])
    dry = eventyard("apply", "-f", file, "--dry-run")
    assert (
        f'+ detector {bus}/cheap  car.cheap when {{"data":{{"price":[{{"numeric":["<",1.1]}}]}}}} turns' in dry.out.splitlines()
    )
    assert eventyard("apply", "-f", file, "--yes").out.endswith("2 created\n")
    assert eventyard("apply", "-f", file, "--dry-run").code == 0

    exported = eventyard("export", "--bus", bus, "--json").documents
    assert detector in exported
    assert eventyard(
        "apply", "-f", wanted(rule("a", bus, owner=f"t-{bus}"), detectors=[detector | {"for_s": 6}]), "--dry-run"
    ).out
    kept = eventyard("apply", "-f", wanted(rule("a", bus, owner=f"t-{bus}")), "--prune", "--yes")
    assert kept.out.endswith("1 deleted\n")
    assert eventyard("detectors", "list", "--bus", bus).out.startswith("no detectors")


def test_what_cannot_be_changed_of_a_detector_is_told_with_what_to_do(eventyard: Command, bus: str, wanted: Any) -> None:
    detector = DETECTOR | {"name": "cheap", "bus": bus}
    eventyard("apply", "-f", wanted(detectors=[detector]), "--yes")
    refused = eventyard("apply", "-f", wanted(detectors=[detector | {"key": "data.id"}]), "--dry-run")
    assert refused.code == 2
    assert "eventyard detectors delete cheap" in refused.err


# Expectations

EXPECTATION: dict[str, Any] = {
    "after": {"type": ["order.paid"], "data": {"total": [{"numeric": [">", 1.10]}]}},
    "expect": {"type": ["order.shipped"]},
    "within_s": 600,
    "emit": {"missed": {"type": "order.not-shipped"}},
}


def test_expectations_are_applied_exported_and_pruned_like_rules(eventyard: Command, bus: str, wanted: Any) -> None:
    expectation = EXPECTATION | {"name": "shipped", "bus": bus, "owner": f"t-{bus}", "key": "data.order_id"}
    file = wanted(rule("a", bus, owner=f"t-{bus}"), expectations=[expectation])
    dry = eventyard("apply", "-f", file, "--dry-run")
    waits = '{"type":["order.shipped"]} within 600 s after {"type":["order.paid"],"data":{"total":[{"numeric":[">",1.1]}]}}'
    assert f"+ expectation {bus}/shipped  order.not-shipped: {waits}" in dry.out.splitlines()
    assert eventyard("apply", "-f", file, "--yes").out.endswith("2 created\n")
    assert eventyard("apply", "-f", file, "--dry-run").code == 0

    assert expectation in eventyard("export", "--bus", bus, "--json").documents
    assert eventyard("export", "--owner", f"t-{bus}", "--json").documents[1] == expectation
    changed = wanted(rule("a", bus, owner=f"t-{bus}"), expectations=[expectation | {"within_s": 60}])
    assert "within_s" in eventyard("apply", "-f", changed, "--dry-run").out
    assert eventyard("apply", "-f", changed, "--yes").out.endswith("1 changed\n")
    kept = eventyard("apply", "-f", wanted(rule("a", bus, owner=f"t-{bus}")), "--prune", "--yes")
    assert kept.out.endswith("1 deleted\n")
    assert eventyard("expectations", "list", "--bus", bus).out.startswith("no expectations")


def test_an_expectation_alone_is_a_document_and_its_mistakes_are_told_with_their_place(
    eventyard: Command, bus: str, tmp_path: Path
) -> None:
    file = tmp_path / "shipped.json"
    file.write_text(json.dumps(EXPECTATION | {"name": "shipped", "bus": bus}))
    assert eventyard("apply", "-f", str(file), "--yes").code == 0
    file.write_text(json.dumps(EXPECTATION | {"name": "shipped", "bus": bus, "key": "data.id"}))
    refused = eventyard("apply", "-f", str(file), "--dry-run")
    assert (refused.code, "eventyard expectations delete shipped" in refused.err) == (2, True)
    file.write_text(json.dumps(EXPECTATION | {"name": "shipped", "bus": bus, "within_s": 0}))
    refused = eventyard("apply", "-f", str(file), "--dry-run")
    assert (refused.code, "expectation shipped: at /within_s: found 0" in refused.err) == (2, True)
