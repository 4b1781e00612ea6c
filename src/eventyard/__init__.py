"""Eventyard: a self-hosted, durable event bus. See docs/concepts.md for the words, docs/internals for the house.

`eventyard.open` is the bus inside a program; `eventyard.client` speaks to one that runs elsewhere. They are loaded when they are
asked for, so that a client does not load a server.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventyard.serve import open_bus as open  # noqa: A004 - read as `eventyard.open`

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def __getattr__(name: str) -> Any:
    if name != "open":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eventyard.serve import open_bus  # noqa: PLC0415 - see above

    return open_bus
