"""The testing kit."""

SETTLE_EVENTS_MAX = 1_000
SETTLE_EVENTS_PER_EVENT = 20
SETTLE_TURNS_MAX = 1_000_000
"""In a test, what happens at one moment before it is taken to have no end, as with rules that feed each other: so many events, and so many for each that
was there before. A choreography makes a dozen of one.
"""
