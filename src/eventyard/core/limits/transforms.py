"""Transforms, and the expressions in them."""

from eventyard.core.limits.events import EVENT_BYTES_MAX

TRANSFORM_TEXT_LENGTH_MAX = 8_192
TRANSFORM_PATHS_MAX = 100
TRANSFORM_QUERY_MAX = 100
"""One text of a transform, and how many values and parameters it names: more than any request wants, and little to fill in."""

TRANSFORM_DEPTH_MAX = 32
"""Objects in objects in a body of a template: half of what an event may have, so that with a value in it it is one still."""

TRANSFORMED_BYTES_MAX = EVENT_BYTES_MAX
"""A body that a transform makes: what a target that takes any event has to take anyway. A template that names a large value many times
would make any size of one event."""

TRANSFORM_FAILURE_CHARACTERS = 500
"""What is kept of why a transform failed: a place, and a phrase."""

EXPRESSION_CPU_S = 1.0
EXPRESSION_MEMORY_BYTES = 512 * 1024**2
EXPRESSION_DEPTH_MAX = 200
"""One event in one transform's expressions: common ones take a millisecond and the memory of a small interpreter. 200 calls deep the
interpreter's own stack still holds."""

EXPRESSION_WALL_S = 10.0
EXPRESSION_WAIT_S = 10.0
"""Past these nothing is known of an expression but that the machine is busy, and its delivery is put back. Together below the margin
of a push's lease (PUSH_LEASE_MARGIN_MS)."""

EXPRESSION_PUT_OFF_MS = 1_000
"""Until a delivery whose expression was not evaluated is leased again."""

EXPRESSIONS_KEPT = 256
"""Expressions that an evaluator has read and keeps: half a millisecond each to read."""

EXPRESSIONS_TRIED_MAX = 100
"""Evaluations under way for whoever saves and tries transforms: a few full trials of dead letters. Each holds an event."""

EVALUATORS = 2
"""Processes that evaluate: one for a rule that takes long, and one for all others."""

TRANSFORMS_KEPT = 1_000
"""Compiled transforms kept by whoever pushes. One is compiled in well under a millisecond."""
