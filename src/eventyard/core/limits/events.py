"""An event, and what one request may publish."""

EVENT_BYTES_MAX = 1024 * 1024
"""One event in its structured form. EventBridge and SQS take 256 KiB to 1 MiB; NATS' default payload is 1 MiB. More
belongs in an object store with its address in the event."""

BATCH_EVENTS_MAX = 1_000
"""Events in one publish request: bounds the work of one commit and the answer's size."""

BATCH_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of one publish request: what one caller may make the bus hold before it has said anything."""

DEDUP_WINDOW_MS = 24 * 60 * 60 * 1000
DEDUP_WINDOW_IDS = 10_000_000
"""The window in which the same source and id are one event: whichever ends first. A day covers producers that retry over
a night; ten million ids at about two bytes each keep the filters near 20 MB a bus."""

MATCHES_PER_EVENT_MAX = 10_000
"""Rules that one event may match. One event is one atomic step, and a step is bounded; ten thousand deliveries are about a
tenth of a second of writing. An event that matches more is refused, never half routed. Those that the bus publishes of itself are not
refused, or a rule that too many follow could not be deleted: each may be a delivery for every rule of its bus."""

HOPS_MAX_DEFAULT = 16
"""How many events may come of one another, by default: an operator may change it. Longer chains than a dozen services are hardly ever meant, and
a loop that makes two of each event is at 65,000 by then; AWS Lambda ends loops at 16, too."""

HOPS_MAX = 1_000
"""The most that an operator may allow: a loop is to end some time."""

JSON_DEPTH_MAX = 64
"""Objects and arrays inside one another, the outermost counted. Real payloads stay under 15; every reader downstream
recurses, and many give up at 100."""

NUMBER_CHARACTERS_MAX = 640
"""Characters of one number. A double needs at most 309 digits before the point; Python turns text into an integer in
quadratic time, and 640 digits is what it reads under any setting (sys.set_int_max_str_digits)."""

EXPONENT_DIGITS_MAX = 6
"""Digits of an exponent, leading zeros aside. A decimal with a longer one cannot be expanded in any memory."""

ATTRIBUTES_MAX = 64
"""Attributes of one event. Each may have to travel as a header; common servers take 100 headers at most."""

ATTRIBUTE_NAME_CHARACTERS_MAX = 64
"""One attribute's name. CloudEvents asks for 20 at most and does not insist; some extensions in use are longer."""

ATTRIBUTE_VALUE_BYTES_MAX = 2_048
"""One attribute's value in UTF-8. Percent-encoded it triples at worst, and must still be one header line of less than
8 KiB, where common servers stop."""
