"""A step of the writer, which everybody waits for: what one does at most, and what may wait for it."""

CLOCK_JUMP_MS_MAX = 10 * 60 * 1000
"""A forward step of the wall clock that a running bus still believes: more than any leap or slow NTP correction, less than
what would end a dedup window or a retention period by mistake."""

FORWARD_PUT_OFF_MS = 100
"""What another bus here has no room for is tried again so soon, uncounted: as a producer that is told so would."""

REPLIES_PER_STEP_BYTES = 4 * 1024 * 1024
"""Of replies whose verdicts are taken into one step, or one report of a worker: past it the next one has the rest."""

STEP_EVENTS_MAX = 2_000
STEP_BYTES_MAX = 16 * 1024 * 1024
STEP_CHANGES_MAX = 20_000
"""One step of one bus is cut at whichever comes first, so that a commit stays in the tens of milliseconds."""

LEASES_PER_STEP_MAX = 5_000
"""Deliveries of one run read for leases in one step: ten consumers' batches of 500."""

QUEUES_PER_STEP_MAX = 200
"""Queues that one step reads for leases: some 0.2 ms each. With thousands of rules of which each has a little, a step that gave out all that
was wanted took a second, and whoever published meanwhile waited for it."""

SHARE_BESIDE_PUBLISHERS = 100
SHARE_PER_EVENT = 4
"""Verdicts, and leases of what waits, that a step takes while somebody publishes in it: a hundred, or so many for each event, that a
consumer's five hundred are not waited for by everybody, and that those who publish much do not leave their consumers behind."""

INBOX_COMMANDS_MAX = 10_000
INBOX_BYTES_MAX = 64 * 1024 * 1024
"""What may wait for the writer in memory; past it a caller is told to come back. About a second of full speed."""

BACKFILL_EVENTS_PER_STEP = 500
BACKFILL_UNSETTLED_MAX = 10_000
"""A late rule is fed at most this much ahead of its consumer: memory and queue tables stay small however long the log is."""

LIVE_BACKLOG_MAX = 100_000
"""Deliveries that a live rule may have pending: some 20 MB of table, and 25 MB of memory where it keeps order. Past it the rule leaves
the live index and is fed by a backfill until it has caught up; far more than a backfill keeps ahead, so that no rule goes to and fro."""

BACKFILL_LAST_STRETCH = 100
"""When no more than this many events are left, they and the switch to live are one step of the writer."""

INTENT_ROWS_PER_STEP = 500
"""Deliveries that one bounded step redrives or discards: a few milliseconds of writing between two publishes."""

RETAIN_POSITIONS_PER_STEP = 1_000
"""Events that one step of retention looks at and removes: a few milliseconds of writing between two publishes."""

RULES_LOOKED_AT_PER_STEP = 500
"""Rules whose backlogs and dead letters one step of retention looks at: some 50 ms of reading, beside which leases are taken back."""
