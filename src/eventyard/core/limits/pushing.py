"""Pushes: how many at once, what is read of an answer, what is kept of an attempt."""

REPLY_BYTES_MAX = 256 * 1024
"""One reply, as EventBridge takes one event. It is in memory from the answer to its step, and thousands may be under way."""

CONCURRENCY_MAX = 1_000
"""Pushes under way for one rule: past this one target is no longer one service."""

PUSH_LEASE_MARGIN_MS = 30_000
"""A lease outlives its push by this: waiting for a connection, for a verdict to be committed, for a stalled disk."""

BATCH_WAIT_S_MAX = 60.0
"""How long a batch that is not full may wait for more: what is leased longer for it is given out by nobody else."""

BATCHED_LEASES_MAX = 2_000
"""Deliveries of one rule leased for batches, those that gather included: half of what a process may have under way, however large its batches are."""

BATCH_VERDICT_BYTES = 2 * 1024
"""What is read of an answer to a batch for each event in it, beside what is read of any: a problem with what was found and wanted takes a third of it."""

BATCH_LEARNT_MS = 10 * 60 * 1000
"""How long batches stay as small as a target's 413 has made them, before larger ones are tried again."""

PUSHES_UNDER_WAY_MAX = 4_096
"""Pushes under way in one process, each a socket and an event in memory."""

PUSH_BYTES_UNDER_WAY_MAX = 128 * 1024 * 1024
"""Event bytes held by pushes under way: a hundred largest events, or a hundred thousand usual ones."""

ANSWER_LINES_MAX = 100
"""Statuses of which a rule says otherwise than the answer table: there are sixty in use, and classes for the rest."""

ANSWER_KEPT_BYTES = 1_024
"""How much of a target's last answer a dead letter keeps: enough to read the error, too little to store a page."""

RETRY_DELAY_MS_MAX = 31_536_000 * 1000
"""No try is put off for longer: a year, which is the longest backoff that a rule may ask for."""

RETRY_AFTER_S_MAX = 24 * 60 * 60
"""A target may ask for no longer a wait than this; past it the wait is cut to it."""

ATTEMPTS_KEPT = 8
ATTEMPT_CHARACTERS_KEPT = 100
"""Outcomes of earlier attempts that a delivery keeps, those that were alike counted as one, and how much of each: some 1.5 KB of a row
at the worst, and about 100 bytes while a target is away."""
