"""The wire to a target: connections, names, answers."""

from eventyard.core.limits.pushing import PUSHES_UNDER_WAY_MAX

TARGET_URL_LENGTH_MAX = 2_048
"""A target's URL: what every server, proxy and log takes without cutting."""

PUSH_ANSWER_BYTES = 64 * 1024
"""What is read of the body of an answer. Of most the first kilobyte is kept, if anything."""

ANSWER_HEADER_BYTES_MAX = 64 * 1024
"""Header bytes read of one answer, interim answers and trailers included. Servers themselves stop at 8 to 64 KiB."""

PUSH_TIMEOUT_S_MAX = 3_600.0
"""One push, at the transport: past an hour it is no request. Rules allow far less."""

PUSH_CONNECT_TIMEOUT_S = 10.0
"""Opening a connection, TLS included: a second try after a lost first packet (3 s) and a slow handshake, and little more."""

PUSH_CONNECTIONS_MAX = PUSHES_UNDER_WAY_MAX
"""Connections open at once, idle ones included. Fewer than pushes under way and a push would wait for another's target."""

PUSH_CONNECTION_LIFETIME_S = 300.0
"""A connection is not reused past this age: so a busy target whose name moved is followed within minutes."""

PUSH_HANDLES_IDLE_MAX = 1_024
PUSH_HANDLE_BODY_BYTES = 16 * 1024
"""Curl handles kept for reuse, about 10 KB each, and the largest last body that an idle one may go on holding. Past this a
burst's handles are freed again."""

RESOLVER_THREADS_MAX = 16
"""Names looked up at once. A lookup cannot be interrupted, so this is how many dead name servers one bus can stand."""

RESOLVER_NAMES_MAX = 4_096
"""Names whose addresses are remembered, about 200 bytes each."""

RESOLVER_TTL_S = 30.0
RESOLVER_FAILURE_TTL_S = 2.0
"""How long an answer of the resolver is believed. `getaddrinfo` hides the record's own time to live; half a minute is what
a fail-over by DNS expects. A failure is believed long enough only to spare the name server a storm."""

TRANSPORT_CLOSE_S = 10.0
"""How long `close` waits for the transport's thread, which at that time only calls back. Longer means a callback hangs."""

TRANSPORT_URLS_MAX = 4_096
"""Parsed target URLs that the transport remembers; past this it forgets all and starts again."""
