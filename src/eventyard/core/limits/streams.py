"""Streams, which many follow at once."""

STREAMS_MAX = 1_000
"""Streams of all buses at once: half of the door's connections, so that publishers always find one."""

STREAM_CHUNK_BYTES = 256 * 1024
"""Event bytes that a stream has in memory for its reader, one event aside: a few milliseconds' reading, and 256 MiB at the worst
for all streams together, as long as events are smaller than that."""

STREAM_EVENTS_MAX = 1_000
"""Events of one look of a stream: what a pattern is tried on in about 10 ms, after which other streams have their turn."""

STREAM_THREADS = 2
"""Threads that look for all streams. More would only wait for one another, and readers of history have threads of their own."""

STREAM_LIGHT_FIELDS = 10
STREAM_LIGHT_BYTES = 8 * 1024
"""Fields of a pattern and bytes of events that a stream judges on the event loop, in about 0.1 ms: less than it costs to hand
them to a thread."""

STREAM_TURN = 16
"""Streams that are woken at once, about a millisecond of their event loop: what a publish may have to wait behind."""

STREAM_REST_S_MAX = 0.1
"""After waking streams an event loop wakes none for as long as they kept it busy, and this at most: publishers have half
of it however many follow, and nobody hears of an event later than this for their sake."""

STREAM_LOOKS_KEPT = 8
"""Looks that are kept for streams that come to the same position a little later: a chunk each, one for each bus at most."""

STREAM_SILENCE_S = 15.0
"""After so long without an event a stream tells where it is. Proxies and home routers forget a silent connection after 30 to 60 s."""
