"""An object where a rule wants a value: it is none, whatever is in it."""

import msgspec


class Ignored(msgspec.Struct, frozen=True):
    """As what such an object is decoded from bytes. All are equal. In a document it is a dictionary."""
