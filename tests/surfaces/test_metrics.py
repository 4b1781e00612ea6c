"""GET /metrics: what it tells, that its page tells of all of it, and that what we ship for watching asks for nothing else."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventyard.core import limits
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from eventyard.surfaces.http.families import FAMILIES
from tests.support import targets
from tests.support.buses import ServedBus, served_bus
from tests.support.targets import Target

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
EVERYWHERE = {"instance", "job"}
"""Labels that Prometheus gives to all that it scrapes."""

Sample = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape that comes soon after another is read anew."""
    monkeypatch.setattr(limits, "METRICS_KEPT_S", 0.0)


def scraped(bus: ServedBus) -> dict[Sample, float]:
    answer = bus.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def an_event(number: int, kind: str = "t") -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": kind}


# What it tells


def test_publishing_counts_by_bus(door: ServedBus, name: str) -> None:
    for number in (1, 2, 2):
        door.publish(name, an_event(number))
    door.publish(name, b"no event")
    door.publish(name, b" " * (limits.EVENT_BYTES_MAX + 1))
    door.publish(name, [an_event(3), {"specversion": "1.0"}], "application/cloudevents-batch+json")
    samples = scraped(door)
    assert value(samples, "eventyard_events_accepted_total", bus=name) == 3
    assert value(samples, "eventyard_events_duplicate_total", bus=name) == 1
    assert value(samples, "eventyard_events_refused_total", bus=name, code="invalid-json") == 1
    assert value(samples, "eventyard_events_refused_total", bus=name, code="invalid-event") == 1
    assert value(samples, "eventyard_events_refused_total", bus=name, code="too-large") == 1


def test_pushing_counts_by_rule_and_is_timed_by_answer(door: ServedBus, name: str) -> None:
    with Target(targets.flaps(500, 400)) as target:
        policy = {"backoff": {"initial_s": 0}}
        rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}, "delivery": policy}
        assert door.put(f"/v1/buses/{name}/rules/r", json=rule).status_code == 201
        before = scraped(door)
        door.publish(name, an_event(1))
        door.wait_until(lambda: door.get(f"/v1/buses/{name}/rules/r/status").json()["dead"] == 1)
        assert value(scraped(door), "eventyard_rule_failing", bus=name, rule="r") == 1
        door.publish(name, an_event(2))
        door.wait_until(lambda: door.get(f"/v1/buses/{name}/rules/r/status").json()["delivered"] == 1)
    samples = scraped(door)
    for ending, count in (("delivered", 1), ("failed", 1), ("dead", 1), ("discarded", 0)):
        assert value(samples, f"eventyard_deliveries_{ending}_total", bus=name, rule="r") == count
    assert value(samples, "eventyard_deliveries", bus=name, rule="r", state="dead") == 1
    assert value(samples, "eventyard_rule_failing", bus=name, rule="r") == 0
    for answer in ("2xx", "4xx", "5xx"):
        counted = [value(each, "eventyard_push_seconds_count", answer=answer) for each in (before, samples)]
        assert counted[1] - counted[0] == 1


def test_what_waits_is_told_by_state(door: ServedBus, name: str) -> None:
    rule = {"pattern": {"type": ["t"]}, "target": {"queue": {}}}
    door.put(f"/v1/buses/{name}/rules/r", json=rule)
    door.publish(name, an_event(1))
    door.publish(name, an_event(2))
    door.post(f"/v1/buses/{name}/rules/r/receive", json={"max": 1})
    door.post(f"/v1/buses/{name}/rules/r/pause")
    samples = scraped(door)
    assert value(samples, "eventyard_deliveries", bus=name, rule="r", state="waiting") == 1
    assert value(samples, "eventyard_deliveries", bus=name, rule="r", state="leased") == 1
    assert value(samples, "eventyard_rule_lag_events", bus=name, rule="r") == 2
    assert value(samples, "eventyard_rule_paused", bus=name, rule="r") == 1
    assert value(samples, "eventyard_bus_rules", bus=name) == 1


def test_every_answer_of_the_door_counts(door: ServedBus) -> None:
    before = scraped(door)
    door.get("/v1/buses/nowhere")
    door.get("/healthz")
    samples = scraped(door)
    assert (
        value(samples, "eventyard_http_answers_total", status="404")
        - before.get(("eventyard_http_answers_total", frozenset({("status", "404")})), 0)
        == 1
    )
    assert value(samples, "eventyard_http_answers_total", status="200") > value(
        before, "eventyard_http_answers_total", status="200"
    )


def test_the_files_of_a_store_are_weighed(tmp_path: Path) -> None:
    with served_bus(SqliteEngine(str(tmp_path / "eventyard.db"))) as bus:
        bus.publish("default", an_event(1))
        samples = scraped(bus)
    for file in ("database", "log", "marks"):
        assert value(samples, "eventyard_file_bytes", file=file) > 0
    assert value(samples, "eventyard_disk_free_bytes") > 0


# What it costs


class HeldEngine(MemoryEngine):
    """Its commits wait while `is_free` is unset."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free, self.is_held = threading.Event(), threading.Event()
        self.is_free.set()

    def commit(self, batch: Any) -> None:
        if not self.is_free.is_set():
            self.is_held.set()
            assert self.is_free.wait(20)
        super().commit(batch)


def test_a_scrape_asks_nothing_of_the_writer() -> None:
    engine = HeldEngine()
    with served_bus(engine) as bus:
        engine.is_free.clear()
        publishing = threading.Thread(target=lambda: bus.publish("default", an_event(1)))
        publishing.start()
        try:
            assert engine.is_held.wait(20)
            assert value(scraped(bus), "eventyard_writer_commands") == 1
        finally:
            engine.is_free.set()
            publishing.join(20)
        assert value(scraped(bus), "eventyard_writer_commands") == 0


def test_a_scrape_soon_after_another_reads_nothing(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_KEPT_S", 3600.0)
    first = door.get("/metrics").text
    door.publish(name, an_event(1))
    assert door.get("/metrics").text == first


# Names


def told() -> dict[str, tuple[str, tuple[str, ...]]]:
    """What the page tells: each metric with its kind and labels."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", PAGE, re.MULTILINE)
    return {name: (kind, tuple(labels.replace(",", " ").split())) for name, kind, labels in rows}


def test_the_page_tells_of_every_family_with_its_kind_and_labels() -> None:
    ours = {name: row for name, row in told().items() if name.startswith("eventyard_")}
    assert ours == {family.name: (family.kind, family.labels) for family in FAMILIES}


def test_the_page_tells_of_everything_that_a_scrape_has(door: ServedBus) -> None:
    told_names = set(told())
    answered = re.findall(r"^# TYPE (\w+) (\w+)$", door.get("/metrics").text, re.MULTILINE)
    assert {name for name, _ in answered} == told_names
    assert all(told()[name][0] == kind for name, kind in answered)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: Any) -> None:
    assert re.fullmatch(r"eventyard_[a-z]+(_[a-z]+)*", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert not family.name.endswith(("_count", "_sum", "_bucket", "_info_total"))
    assert (family.kind == "histogram") <= family.name.endswith("_seconds")


# What we ship for watching


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of the alert rules and the dashboard, with where it stands."""
    alerts = (ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8")
    for alert in alerts.split("- alert: ")[1:]:
        yield alert.split()[0], re.sub(r"\s+", " ", alert.split("expr:")[1].split("\n        for:")[0].split("labels:")[0])
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


EXPRESSIONS = list(expressions())


def named(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of an expression, by its family, with the labels that it is picked by."""
    for name, matchers in re.findall(r"\b((?:eventyard|process|python)_\w+)(?:\{([^}]*)\})?", expression):
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        yield (family if family in told() else name), set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=lambda text: str(text)[:40])
def test_what_is_watched_exists_with_the_labels_it_is_picked_by(where: str, expression: str) -> None:
    assert list(named(expression)) or expression.strip() == 'up{job="eventyard"} == 0', where
    for name, labels in named(expression):
        assert name in told(), where
        assert labels <= set(told()[name][1]) | EVERYWHERE, where


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=lambda text: str(text)[:40])
def test_what_is_grouped_by_is_a_label_of_what_is_grouped(where: str, expression: str) -> None:
    known = {label for name, _ in named(expression) for label in told()[name][1]} | EVERYWHERE | {"le"}
    for grouped in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression):
        assert set(grouped.replace(",", " ").split()) <= known, where


def test_every_family_is_on_the_dashboard_or_in_an_alert() -> None:
    watched = {name for _, expression in EXPRESSIONS for name, _ in named(expression)}
    assert {family.name for family in FAMILIES} <= watched


def test_a_page_that_an_alert_sends_somebody_to_is_there() -> None:
    pages = re.findall(r"runbook: (\S+)", (ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8"))
    assert pages
    for page in pages:
        assert (ROOT / page).exists(), page


def test_alerts_and_legends_show_only_labels_that_are_there() -> None:
    shown = re.findall(r"\$labels\.(\w+)", (ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8"))
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    legends = [target["legendFormat"] for panel in board["panels"] for target in panel.get("targets", ())]
    shown += re.findall(r"\{\{(\w+)\}\}", " ".join(legends))
    assert set(shown) <= {label for _, labels in told().values() for label in labels} | EVERYWHERE
