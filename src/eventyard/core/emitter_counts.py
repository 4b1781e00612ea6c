"""What is counted of an emitter, and how fast it may tell: both are kept with its counts, so that they outlive a restart."""

from eventyard.core import limits
from eventyard.core.emitter_ground import Ground


def count(draft: Ground, uid: int, name: str, more: int = 1) -> None:
    if more:
        counts = draft.emitters.tally(uid)
        counts[name] = counts.get(name, 0) + more


def turn_ms(draft: Ground, uid: int, per_s: float) -> int:
    """The work time at which the emitter may tell what is next, which is taken by this call (a leaky bucket, by its virtual time)."""
    counts = draft.emitters.tally(uid)
    every_us = round(1_000_000 / per_s)
    burst_us = limits.DETECTOR_EDGES_BURST_S * 1_000_000
    paced_us = max(counts.get("paced_us", 0), draft.time.work_ms * 1000)
    counts["paced_us"] = paced_us + every_us
    return -((burst_us - paced_us) // 1000)
