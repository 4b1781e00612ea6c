"""What `/metrics` tells, as one table: each family's name, kind, labels, what it says, and where its samples come from.

Names follow Prometheus: base units, `_total` for what only grows. docs/reference/metrics.md tells of each; a test holds the two together.
"""

from collections.abc import Callable, Iterator

import eventyard
from eventyard.bus.figures import Figures, RuleDepth, states_of
from eventyard.metering import ANSWERS, Histogram, RuleMeter
from eventyard.surfaces.http import emitter_families
from eventyard.surfaces.http.family import Family, Sample

_RULE = ("bus", "rule")
_BUS = ("bus",)


def _of_rules(value: Callable[[RuleMeter], int]) -> Callable[[Figures], Iterator[Sample]]:
    return lambda figures: ((rule.labels, value(rule)) for rule in figures.meter.all_rules)


def _of_depths(value: Callable[[RuleDepth], float | None]) -> Callable[[Figures], Iterator[Sample]]:
    """A value that was not read has no sample."""
    return lambda figures: ((labels, found) for labels, depth in figures.rules.items() if (found := value(depth)) is not None)


def _alone(value: Callable[[Figures], float | Histogram]) -> Callable[[Figures], Iterator[Sample]]:
    return lambda figures: iter([((), value(figures))])


def _states(figures: Figures) -> Iterator[Sample]:
    for labels, depth in figures.rules.items():
        for state, count in states_of(depth):
            yield (*labels, state), count


def _refused(figures: Figures) -> Iterator[Sample]:
    for bus in list(figures.meter.buses.values()):
        refused, turned_away = bus.refused.copy(), bus.turned_away.copy()
        for code in sorted(refused.keys() | turned_away.keys()):
            yield (bus.name, code), refused.get(code, 0) + turned_away.get(code, 0)


FAMILIES = (
    Family(
        "eventyard_info", "gauge", ("version",), "1, with the version that runs.", lambda _: [((eventyard.__version__,), 1)]
    ),
    Family(
        "eventyard_ready",
        "gauge",
        (),
        "1 while the bus takes work, 0 while /readyz says what it waits for.",
        _alone(lambda figures: not figures.unready),
    ),
    # Events
    Family(
        "eventyard_events_accepted_total",
        "counter",
        _BUS,
        "Published events that were new and are durable.",
        lambda figures: [((bus.name,), bus.accepted) for bus in list(figures.meter.buses.values())],
    ),
    Family(
        "eventyard_events_duplicate_total",
        "counter",
        _BUS,
        "Published events that were known and answered with their first position.",
        lambda figures: [((bus.name,), bus.duplicate) for bus in list(figures.meter.buses.values())],
    ),
    Family(
        "eventyard_events_refused_total",
        "counter",
        (*_BUS, "code"),
        "Published events that were refused for their own sake, by the code of the error.",
        _refused,
    ),
    # Deliveries
    Family(
        "eventyard_deliveries_delivered_total",
        "counter",
        _RULE,
        "Deliveries that ended as delivered.",
        _of_rules(lambda rule: rule.delivered),
    ),
    Family(
        "eventyard_deliveries_failed_total",
        "counter",
        _RULE,
        "Attempts that failed and are followed by another: a bad answer, none, a lease given back or run out.",
        _of_rules(lambda rule: rule.failed),
    ),
    Family(
        "eventyard_deliveries_dead_total",
        "counter",
        _RULE,
        "Deliveries that became dead letters.",
        _of_rules(lambda rule: rule.dead),
    ),
    Family(
        "eventyard_deliveries_discarded_total",
        "counter",
        _RULE,
        "Deliveries that ended as discarded: by a skip, a purge, a seek, a deleted rule, a cap.",
        _of_rules(lambda rule: rule.discarded),
    ),
    Family(
        "eventyard_replies_total",
        "counter",
        (*_RULE, "outcome"),
        "Answers of a rule's target that were replies, by what became of them: accepted, duplicate, refused, or stopped as a loop.",
        lambda figures: [
            ((*rule.labels, outcome.value), count)
            for rule in figures.meter.all_rules
            for outcome, count in sorted(rule.replies.copy().items())
        ],
    ),
    Family("eventyard_deliveries", "gauge", (*_RULE, "state"), "Deliveries that are pending or dead, by state.", _states),
    Family(
        "eventyard_deliveries_parked",
        "gauge",
        _RULE,
        "Blocked deliveries that wait behind a dead one of their key.",
        _of_depths(lambda rule: rule.parked),
    ),
    # Rules
    Family(
        "eventyard_rule_lag_events",
        "gauge",
        _RULE,
        "Events that the rule has not settled, those included that a backfill has yet to read for it.",
        _of_depths(lambda rule: rule.lag),
    ),
    Family(
        "eventyard_rule_lag_seconds",
        "gauge",
        _RULE,
        "How far in the log's time the rule is behind: from the oldest event that it owes to the bus's last.",
        _of_depths(lambda rule: rule.behind_s),
    ),
    Family(
        "eventyard_rule_oldest_undelivered_seconds",
        "gauge",
        _RULE,
        "The age of the oldest event that the rule owes.",
        _of_depths(lambda rule: rule.oldest_s),
    ),
    Family("eventyard_rule_paused", "gauge", _RULE, "1 while the rule is paused.", _of_depths(lambda rule: rule.paused)),
    Family(
        "eventyard_rule_failing",
        "gauge",
        _RULE,
        "1 while the rule's last attempt to deliver anything failed.",
        _of_depths(lambda rule: rule.failing),
    ),
    Family(
        "eventyard_rule_breaker_open",
        "gauge",
        _RULE,
        "1 while the rule's breaker keeps it from calling its target, but for probes.",
        _of_depths(lambda rule: rule.open),
    ),
    Family(
        "eventyard_rule_held",
        "gauge",
        (*_RULE, "by"),
        "1 while deliveries of the rule that are due wait, by what they wait for; no sample while none do.",
        lambda figures: (((*labels, by), n) for labels, depth in figures.rules.items() for by, n in sorted(depth.held.items())),
    ),
    Family(
        "eventyard_rule_concurrency_allowed",
        "gauge",
        _RULE,
        "How many of the rule's deliveries may be under way at once just now.",
        _of_depths(lambda rule: rule.concurrency),
    ),
    Family(
        "eventyard_rule_rate_allowed",
        "gauge",
        _RULE,
        "How many of the rule's deliveries may go in a second just now; no sample without a rate.",
        _of_depths(lambda rule: rule.rate_per_s),
    ),
    *emitter_families.FAMILIES,
    # Buses
    Family(
        "eventyard_bus_events",
        "gauge",
        _BUS,
        "Events in the log, from its floor to its head.",
        lambda figures: [((name,), bus.events) for name, bus in figures.buses.items()],
    ),
    Family(
        "eventyard_bus_head_position",
        "gauge",
        _BUS,
        "The position of the log's last event, the bus's own events included.",
        lambda figures: [((name,), bus.head) for name, bus in figures.buses.items()],
    ),
    Family(
        "eventyard_bus_log_bytes",
        "gauge",
        _BUS,
        "Bytes of the events in the log, which retention counts by.",
        lambda figures: [((name,), bus.bytes) for name, bus in figures.buses.items() if bus.bytes is not None],
    ),
    Family(
        "eventyard_bus_rules",
        "gauge",
        _BUS,
        "Rules of the bus.",
        lambda figures: [((name,), bus.rules) for name, bus in figures.buses.items()],
    ),
    Family(
        "eventyard_bus_schedules",
        "gauge",
        _BUS,
        "Schedules of the bus.",
        lambda figures: [((name,), bus.schedules) for name, bus in figures.buses.items()],
    ),
    Family(
        "eventyard_bus_schedules_overdue_seconds",
        "gauge",
        _BUS,
        "How late the schedule is that should have published longest ago; 0 where none is late.",
        lambda figures: [((name,), bus.overdue_s) for name, bus in figures.buses.items()],
    ),
    Family(
        "eventyard_bus_damaged_events",
        "gauge",
        _BUS,
        "Events found damaged or gone since the start.",
        lambda figures: [((name,), bus.damaged) for name, bus in figures.buses.items()],
    ),
    # The writer
    Family(
        "eventyard_admit_seconds",
        "histogram",
        (),
        "Admitting one step: dedup, matching, deliveries, before its commit.",
        _alone(lambda figures: figures.meter.admits),
    ),
    Family(
        "eventyard_commit_seconds",
        "histogram",
        (),
        "One commit of the store, its fsync included.",
        _alone(lambda figures: figures.meter.commits),
    ),
    Family(
        "eventyard_commits_failed_total",
        "counter",
        (),
        "Commits that the store refused; nothing of them was kept.",
        _alone(lambda figures: figures.meter.failed_commits),
    ),
    Family(
        "eventyard_writer_commands",
        "gauge",
        (),
        "Requests that wait for the writer or are in its step.",
        _alone(lambda figures: figures.waiting.commands),
    ),
    Family(
        "eventyard_writer_bytes",
        "gauge",
        (),
        "Bytes of the events in those.",
        _alone(lambda figures: figures.waiting.command_bytes),
    ),
    # Out
    Family(
        "eventyard_push_seconds",
        "histogram",
        ("answer",),
        "One push by this server, from its sending to its answer, by the class of that.",
        lambda figures: [((ANSWERS[kind],), figures.meter.pushes[kind]) for kind in (0, 2, 3, 4, 5)],
    ),
    Family(
        "eventyard_pushes_under_way",
        "gauge",
        (),
        "Pushes that this server has sent and whose verdicts are not written yet.",
        _alone(lambda figures: figures.waiting.pushes),
    ),
    Family(
        "eventyard_verdicts_waiting",
        "gauge",
        (),
        "Verdicts on pushes that wait to be written.",
        _alone(lambda figures: figures.waiting.verdicts),
    ),
    Family(
        "eventyard_receives_waiting",
        "gauge",
        (),
        "Consumers and workers that wait for deliveries.",
        _alone(lambda figures: figures.waiting.receives),
    ),
    Family("eventyard_streams", "gauge", (), "Open streams.", _alone(lambda figures: figures.waiting.streams)),
    # The door
    Family(
        "eventyard_http_answers_total",
        "counter",
        ("status",),
        "Answers of the HTTP door, by status.",
        lambda figures: [((str(status),), count) for status, count in sorted(figures.meter.answers.copy().items())],
    ),
    # The disk
    Family(
        "eventyard_file_bytes",
        "gauge",
        ("file",),
        "The size of each file of the store.",
        lambda figures: [((name,), size) for name, size in figures.footprint.files.items()],
    ),
    Family(
        "eventyard_disk_free_bytes",
        "gauge",
        (),
        "What the store's disk has left.",
        lambda figures: [((), figures.footprint.free_bytes)] if figures.footprint.free_bytes is not None else [],
    ),
    Family(
        "eventyard_scrub_passes_total",
        "counter",
        (),
        "How many times the scrubber has been through all buses.",
        _alone(lambda figures: figures.scrub.passes),
    ),
    Family(
        "eventyard_scrub_position",
        "gauge",
        _BUS,
        "Where the scrubber's pass stands in the bus that it is in; no sample while it rests.",
        lambda figures: [((figures.scrub.bus,), figures.scrub.position)] if figures.scrub.bus else [],
    ),
    # Traces
    Family(
        "eventyard_spans_dropped_total",
        "counter",
        (),
        "Publishes and pushes of which no span was made, because too many waited.",
        _alone(lambda figures: figures.spans_dropped),
    ),
    # The scrape itself
    Family(
        "eventyard_scrape_seconds",
        "gauge",
        (),
        "What reading these figures took.",
        _alone(lambda figures: figures.took_s),
    ),
    Family(
        "eventyard_scrape_rules_unread",
        "gauge",
        (),
        "Rules whose ages are missing, because the scrape took too long or the disk did not let them be read.",
        _alone(lambda figures: figures.unread),
    ),
)
