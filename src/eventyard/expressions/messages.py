"""What goes over the pipes between a bus and its evaluators: a length, and MessagePack."""

import struct

import msgspec

LENGTH = struct.Struct(">I")


class Job(msgspec.Struct, frozen=True, array_like=True):
    """Expressions for one event. Without an event they are only read."""

    expressions: tuple[str, ...]
    event: bytes
    facts: dict[str, bytes]
