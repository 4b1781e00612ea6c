"""What is kept and for how long, and how it is looked at for damage."""

RETENTION_AGE_S_DEFAULT = 7 * 24 * 3600.0
RETENTION_BYTES_DEFAULT = 10 * 1024**3
"""What a bus keeps of its log: a week, or 10 GiB of events, whichever is less. An operator sets both per bus."""

DEAD_LETTERS_S_DEFAULT = 30 * 24 * 3600.0
"""How long dead letters live. An operator sets it per bus."""

BACKLOG_BYTES_DEFAULT = 10 * 1024**3
BACKLOG_AGE_S_DEFAULT = 7 * 24 * 3600.0
"""What may wait for one rule: as much as a bus keeps of its log. Each rule may set its own."""

SCRUB_INTERVAL_MS = 100
SCRUB_EVENTS_PER_STEP = 500
SCRUB_BYTES_PER_STEP = 4 * 1024 * 1024
"""The scrubber's pace: 5,000 events or 40 MiB a second, which is one to two hundredths of a core and a fraction of any disk. 10 GiB,
what retention keeps by default, take it forty minutes."""

SCRUB_REST_MS = 24 * 60 * 60 * 1000
"""From the end of the scrubber's last pass to its next: a day is soon enough for a backup of last week to still be there."""

SCRUB_FAILED_MS = 60 * 1000
"""How long the scrubber leaves a disk alone that did not let it read."""

SCRUB_BUSES_PER_STEP = 100
"""Buses that one step looks at to find one with something to do."""

VERIFIED_AT_START_EVENTS_MAX = 100_000
VERIFIED_AT_START_BYTES_MAX = 128 * 1024 * 1024
"""What a start looks at of what the last run had not yet: a quarter of a second. The scrubber keeps it small; after a crash in a
flood of events it does the rest."""
