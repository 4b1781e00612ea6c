"""The HTTP door."""

ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Event bytes in one answer, a page or what was received: it is held whole until the caller has read it. One event always fits."""

REQUEST_BYTES_MAX = 256 * 1024
"""A request's JSON document other than events and rules: a thousand delivery ids and room to spare."""

QUERY_FIELDS_MAX = 32
"""Fields of one query. No route knows more than ten."""

HTTP_HEAD_BYTES_MAX = 64 * 1024
"""A request line with its headers. A binary event of many long attributes takes 30 KiB; common proxies stop at 8 to 32."""

HTTP_HEAD_S_MAX = 10.0
"""From a connection or a request's first byte to the end of its headers. Nobody types them by hand for longer."""

HTTP_BODY_S_MAX = 30.0
"""From the end of the headers to the end of the body: the largest batch at 2 Mbit/s."""

HTTP_ENDING_S_MAX = 2.0
"""How long a refused connection is still read from, so that its caller gets to read why."""

HTTP_IDLE_S_MAX = 75
"""A connection that is kept without a request, as nginx has it: a producer that speaks once a minute keeps its connection."""

HTTP_UNREAD_S_MAX = 30.0
"""How long an answer may wait in our memory without the caller reading any of it. A stream is cut after it, and what was written
of it until then may wait once more as long."""

HTTP_CONNECTIONS_MAX = 2_000
"""Connections that are served. The next ones, as many again at most, are told to come back."""

HTTP_BODIES_BYTES_MAX = 128 * 1024 * 1024
"""Bytes of bodies that have come in part: a slow caller must not hold more memory the more of them there are."""

HTTP_LINGER_BYTES_MAX = 16 * 1024 * 1024
HTTP_LINGER_S_MAX = 5.0
"""What is read on and thrown away after a body was refused by its size, so that the caller, who is still sending, gets to read
the answer; a socket closed at once would tell it only that the connection broke."""
