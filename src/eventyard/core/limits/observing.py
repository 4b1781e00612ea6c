"""Metrics and traces."""

METRICS_RULES_MAX = 200
METRICS_BUSES_MAX = 50
"""Rules and buses, over the whole process, that have time series of their own: with some fifteen for each rule a scrape stays near
4,000 samples and 0.1 s of work. Those that come later count together as `_other`."""

METRICS_READ_S_MAX = 1.0
"""How long one scrape reads how old what waits is, beside the writer and on another thread; Prometheus gives up a scrape after 10 s by
default. Past it the ages of the rules that are left are missing from this scrape, which says how many."""

METRICS_OTHERS_READ_MAX = 1_000
"""Rules without time series of their own of which one scrape reads ages, those that lag most: 0.1 s. With a hundred thousand that all owe
something it would else take its whole second, every time. How many are left the scrape says."""

METRICS_KEPT_S = 1.0
"""A scrape is answered again with what the last one read when it comes sooner after it: many who watch cost no more than one."""

TRACE_NOTES_MAX = 2_048
"""Publishes and pushes that wait to become spans: as many as OpenTelemetry's own queue. Past it spans are dropped."""

TRACE_CLOSE_S = 2.0
"""How long a stop waits for spans to be sent, twice: a collector that is gone must not hold a server."""
