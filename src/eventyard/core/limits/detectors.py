"""Detectors and expectations."""

EMITTERS_PER_BUS_MAX = 500
"""Detectors and expectations of one bus. An edit asks how they hang together, each with each where every one might hear every other: then half a second."""

EMITTER_CHAIN_MAX = 8
"""Detectors and expectations one behind the other, each listening to what the one before emits. People who build on edges of edges need two or three."""

EMITTED_TYPE_LENGTH_MAX = 256
"""The type of an event that a detector, or an expectation, emits."""

HOLD_S_MAX = 31_536_000
"""How long a condition may have to hold, or something be waited for, and how long ago a key may have been heard of: a year."""

LATE_BY_S_MAX = 86_400
"""How much later than it happened an observation may come and still count from then: each hold is told so much later."""

HOLDS_REST_MS = 5_000
"""After a start no hold ends for so long (work time): who found the bus away meanwhile tries again within seconds, perhaps with what
breaks it."""

DETECTOR_KEYS_MAX = 10_000_000
DETECTOR_KEYS_DEFAULT = 1_000_000
"""Keys of one detector or expectation, of about 300 bytes on the disk each. A key that is no key, a request's id say, would else take the disk."""

DETECTOR_KEY_BYTES_MAX = 512
"""A key, in UTF-8. It is the subject of what the detector emits."""

DETECTOR_VALUES_BYTES_MAX = 1_024
DETECTOR_VALUES_LISTED_MAX = 10
"""What a key keeps of what its last observation said, as JSON; and how many values of one field. More is left out."""

DETECTOR_SIGNALS_KEPT = 1_024
"""Values of which it is remembered what they say, and why, in memory, of one detector: states are few, and readings come again. Some megabytes at the
worst."""

DETECTOR_EDGES_PER_S_DEFAULT = 1_000.0
DETECTOR_EDGES_BURST_S = 10
"""Edges of one detector, and what one expectation tells as missed, in the long run and, as so many seconds' worth, at once. Past that each waits for its turn."""

KEPT_CACHED_MAX = 50_000
"""Keys of one bus that are kept in memory as they are in the store, at about 600 bytes each: what is observed now is observed again soon."""

TIMERS_PER_STEP = 100
TIMERS_BESIDE_PUBLISHERS = 10
PUBLISHED_LATELY_MS = 1_000
"""Timers that one step runs out, at a third of a millisecond each; and so many where something was published in the last second, by work time:
who publishes may have to wait for the whole of the step before its own. With 50 in every step, publishing beside a hundred thousand holds that
ended at once waited four to five times as long as without."""

TURNS_KEYS_AT_ONCE = 500
TURNS_KEYS_MAX = 10_000
TURNS_NAMED_MAX = 10
"""Keys that are read, and judged, of a detector that is to be changed: in one question to the store; in one request, or until `BACKTEST_MS_MAX` is over, so
that an answer to who saves it waits no longer; and named of those that turn. A key costs some 30 us, a million of them half a minute: whoever
wants all of them counted asks stretch by stretch."""

SWEEP_KEYS_PER_STEP = 100
"""Keys that one step judges anew, or forgets, after an edit of their detector."""
