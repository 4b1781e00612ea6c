"""A member: what the tree files and a block asks. Alone in its file, since a compiled module may not hold a msgspec struct.

mypyc drops what stands beside the base (`frozen=True, gc=False`), so the struct would have no hash, could be changed and cost the garbage collector.
"""

import msgspec

from eventyard.core.pattern.language import Alternative


class Member(msgspec.Struct, frozen=True, gc=False):
    """One alternative of the rule `key`, and where in a reading its fields are."""

    key: int
    alternative: Alternative
    slots: tuple[int, ...]
