"""Buses and their rules: how many, how large, and what is remembered of them."""

RULES_PER_BUS_MAX = 100_000
"""Rules on one bus: each is held in memory, with its pattern some 4 KB, and read at a start in 0.1 ms. Nothing else goes by how many
there are (`tests/stages/test_many_rules.py`)."""

DECLARED_VALUES_MAX = 1_000_000
DECLARED_BYTES_MAX = 64 * 1024 * 1024
"""One file of buses and rules, as `apply` reads it: tens of thousands of rules, more are several files; a few lines of YAML that mean
billions of values end here."""

BUSES_MAX = 10_000
"""Buses in one file: each holds its rules in memory."""

BUS_NUMBER_MAX = 2**19 - 1
"""Creations and deletions of buses over the life of a store: a bus's number shares 63 bits with positions up to 2^44."""

PARKED_BEHIND_MAX = 10_000
"""Deliveries of one rule that may wait behind dead ones of their keys; past it the oldest are discarded, loudly. So one poisoned key
of a busy rule costs bounded memory while the others flow."""

PARKED_KEYS_MAX = 100_000
"""Keys of one rule that may be parked, about 250 bytes each. When so many are dead it is the consumer that is broken: the rule is
paused, loudly, and nothing is lost."""

TOMBSTONE_S = 30 * 24 * 60 * 60
"""How long the name of a deleted rule remembers where it stood: as long as dead letters live."""

TOMBSTONES_MAX = 10_000
"""Deleted rules remembered on one bus, about 200 bytes each; past it the oldest are forgotten."""

KEY_PATH_LENGTH_MAX = 256
"""The path of an order key."""

NAME_LENGTH_MAX = 128
"""Names of buses and rules: room for team-service-purpose, short enough for a table's column."""

RULE_BYTES_MAX = 256 * 1024
"""A rule's document: a thousand listed values of a pattern and room to spare."""

DESCRIPTION_LENGTH_MAX = 2_000
"""Free text of a rule; it travels in every edit event."""

RULE_VERSIONS_MAX = 1_000
"""Edits of one rule that are remembered while events are kept that they governed: an edit every ten minutes for a week."""

RULE_VERSIONS_PER_REMOVAL = 500
"""Remembered edits that one step of retention removes: a few milliseconds of writing."""
