"""Worker processes, and what they and the server tell each other."""

from eventyard.core.limits.steps import STEP_BYTES_MAX

WORKER_RECEIVE_MAX = 1_000
"""Deliveries of one hand-out to a worker, which has them all under way at once. Their bytes are bounded by those of a step."""

WORKER_RECEIVE_S = 1.0
"""How long a worker waits for deliveries before it asks anew. It is also how long a worker that stops waits for the answer that it
has asked for, which may hold leases; one request a second costs nothing."""

WORKER_REQUEST_S_MAX = 30.0
"""A request of a worker: the wait, a stalled disk, and the bytes of a hand-out at 5 Mbit/s."""

WORKER_IDLE_S = 60.0
"""How long a worker sleeps that waits for answers only: they wake it."""

WORKER_LULL_S = 0.001
"""How long targets say nothing before a worker reports what it has: as many verdicts with one report as come on one another's heels."""

WORKER_VERDICTS_ENOUGH = 64
"""Verdicts that a worker reports even while more come in: what a report costs by itself is then little beside them, and the server has
something to do meanwhile."""

WORKER_REST_S = 0.005
"""How long a worker that was handed something relies on its reports to bring it more: after it, what it pushes takes long."""

WORKER_WAITED_S = 0.002
"""A receive that took longer was waited for, and not only on its way."""

WORKER_WAIT_S_MAX = 5.0
"""The longest that a worker lets a server rest that was away."""

WORKER_WORK_MS_MAX = 5_000
"""How far work time goes on in a worker without hearing from the server, which it asks once a second at least."""

WORKER_LAST_S = 5.0
"""How long a worker that stops tries to tell its last verdicts."""

HANDOUT_BYTES_MAX = 2 * STEP_BYTES_MAX
"""What a worker reads of one hand-out: the events of a step, one more, and a thousand records of rules."""

HANDOUT_RECORDS_MAX = 10_000
"""Records of rules that a server keeps encoded, and a worker decoded, about 1 KB each; past it they forget all and start again, at some
microseconds for a record."""

REPORT_BYTES_MAX = 16 * 1024 * 1024
"""One report of a worker: a verdict on everything that a process may have under way, each with a whole note."""

VERDICTS_PER_STEP = 500
"""Verdicts of a request that are written together: a worker that was cut off may bring thousands, and others wait for a step."""

NOTE_CHARACTERS_MAX = 2_048
"""The text of a note: the start of an answer, and a phrase on what failed."""

NOTE_AT_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, past which no calendar is asked."""
