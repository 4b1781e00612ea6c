"""Figures as Prometheus' text format. The only module that knows prometheus-client, and loaded by the first scrape."""

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from eventyard.bus.figures import Figures
from eventyard.metering import BOUNDS_S, Histogram
from eventyard.surfaces.http.families import FAMILIES
from eventyard.surfaces.http.family import Family

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()
"""The one that every scraper reads. No name or label of ours needs a later one."""

_UPPER = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")


class _Told(Collector):
    """One scrape. The registry of the process, where anything might be registered, is left alone."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        return (_metric(family, self._figures) for family in FAMILIES)

    def describe(self) -> Iterable[Metric]:
        return ()


def text(figures: Figures) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Told(figures))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)


def _metric(family: Family, figures: Figures) -> Metric:
    if family.kind == "histogram":
        return _histogram(family, figures)
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.says, labels=family.labels)
    for values, value in family.samples(figures):
        if not isinstance(value, Histogram):
            metric.add_metric(values, value)
    return metric


def _histogram(family: Family, figures: Figures) -> Metric:
    metric = HistogramMetricFamily(family.name, family.says, labels=family.labels)
    for values, value in family.samples(figures):
        if isinstance(value, Histogram):
            buckets = list(zip(_UPPER, accumulate(value.counts.copy()), strict=True))
            metric.add_metric(values, buckets, value.sum_s)
    return metric
