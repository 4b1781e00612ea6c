"""Expressions of transforms (JSONata), evaluated where a loop stalls nobody: in processes of their own.

Theory of operation. The library bounds the depth of an expression and the nodes that it visits, but not what one function does: a regular
expression that backtracks, or a text that doubles itself, would hold the interpreter and grow without end. A thread cannot be
ended. So `child` runs in a process of its own, under the kernel's limits on processor time (a timer that kills) and memory (RLIMIT_AS), and
`evaluators` hands it one event at a time and starts another when it died. Processor time and not the clock, so that a busy machine makes
no transform fail.
"""

from eventyard.expressions.evaluators import Evaluators

__all__ = ["Evaluators"]
