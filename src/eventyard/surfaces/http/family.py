"""A family of what `/metrics` tells."""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from eventyard.bus.figures import Figures
from eventyard.metering import Histogram

Sample = tuple[tuple[str, ...], float | Histogram]
"""The values of the labels, in their order, and the value."""


class Family(msgspec.Struct, frozen=True):
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    says: str
    samples: Callable[[Figures], Iterable[Sample]]
