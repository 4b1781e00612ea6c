"""What `/metrics` tells of detectors and expectations: what was counted of each since it was created."""

from collections.abc import Callable, Iterator

from eventyard.bus.figures import Figures
from eventyard.surfaces.http.family import Family, Sample

_DETECTOR = ("bus", "detector")
_EXPECTATION = ("bus", "expectation")


def _of_detectors(what: str) -> Callable[[Figures], Iterator[Sample]]:
    return lambda figures: ((labels, counts.get(what, 0)) for labels, counts in figures.detectors.items())


def _edges(figures: Figures) -> Iterator[Sample]:
    for labels, counts in figures.detectors.items():
        yield (*labels, "rise"), counts.get("rises", 0)
        yield (*labels, "fall"), counts.get("falls", 0)


def _unapplied(figures: Figures) -> Iterator[Sample]:
    for labels, counts in figures.detectors.items():
        for why in ("late", "unkeyed", "unordered", "over_max_keys", "failed"):
            if why in counts:
                yield (*labels, why), counts[why]


def _of_expectations(what: str) -> Callable[[Figures], Iterator[Sample]]:
    return lambda figures: ((labels, counts.get(what, 0)) for labels, counts in figures.expectations.items())


def _outcomes(figures: Figures) -> Iterator[Sample]:
    for labels, counts in figures.expectations.items():
        for outcome in ("met", "missed", "late"):
            yield (*labels, outcome), counts.get(outcome, 0)


def _untaken(figures: Figures) -> Iterator[Sample]:
    for labels, counts in figures.expectations.items():
        for why in ("repeated", "unexpected", "unkeyed", "over_max_keys", "failed"):
            if why in counts:
                yield (*labels, why), counts[why]


FAMILIES = (
    # Detectors
    Family("eventyard_detector_keys", "gauge", _DETECTOR, "Keys that the detector knows.", _of_detectors("keys")),
    Family(
        "eventyard_detector_pending",
        "gauge",
        _DETECTOR,
        "Keys of which a hold is under way.",
        _of_detectors("pending"),
    ),
    Family(
        "eventyard_detector_edges_total",
        "counter",
        (*_DETECTOR, "edge"),
        "Conditions that turned, since the detector was created: rise and fall.",
        _edges,
    ),
    Family(
        "eventyard_detector_observations_total",
        "counter",
        _DETECTOR,
        "Observations that were applied, since the detector was created.",
        _of_detectors("observations"),
    ),
    Family(
        "eventyard_detector_unapplied_total",
        "counter",
        (*_DETECTOR, "because"),
        "Observations that were not, by why: late, unkeyed, unordered, over_max_keys, failed.",
        _unapplied,
    ),
    Family(
        "eventyard_detector_holds_cancelled_total",
        "counter",
        _DETECTOR,
        "Holds that were broken before they ended.",
        _of_detectors("cancelled"),
    ),
    # Expectations
    Family(
        "eventyard_expectation_open",
        "gauge",
        _EXPECTATION,
        "Keys of which the expectation waits for something.",
        _of_expectations("open"),
    ),
    Family(
        "eventyard_expectation_keys",
        "gauge",
        _EXPECTATION,
        "Keys of which the expectation keeps something: open, or missed and perhaps late.",
        _of_expectations("keys"),
    ),
    Family(
        "eventyard_expectation_opened_total",
        "counter",
        _EXPECTATION,
        "Times that it began to wait, since the expectation was created.",
        _of_expectations("opened"),
    ),
    Family(
        "eventyard_expectation_outcomes_total",
        "counter",
        (*_EXPECTATION, "outcome"),
        "What became of it, since the expectation was created: met, missed, and late, which was missed before.",
        _outcomes,
    ),
    Family(
        "eventyard_expectation_untaken_total",
        "counter",
        (*_EXPECTATION, "because"),
        "Events that changed nothing, by why: repeated, unexpected, unkeyed, over_max_keys, failed.",
        _untaken,
    ),
)
