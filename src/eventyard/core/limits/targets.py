"""How a target is addressed and made sure of: headers, signatures, handshakes, tokens."""

TARGET_HEADERS_MAX = 20
TARGET_HEADER_LENGTH_MAX = 4_096
"""Headers of its own that a rule sends with each push: tokens, API keys, tenants. Servers take heads of 8 to 64 KiB."""

SIGNING_SECRETS_MAX = 2
"""Secrets that a push is signed with: the one in use and, while it is being changed, the one before it."""

SIGNING_SECRET_BYTES_MIN = 24
SIGNING_SECRET_BYTES_MAX = 64
SIGNING_SECRET_BYTES_NEW = 32
"""What Standard Webhooks wants of a secret: fewer can be guessed in time, more than SHA-256's block are hashed first. A new one has as many as the digest."""

HANDSHAKE_AGAIN_S = 5.0
HANDSHAKE_AGAIN_S_MAX = 600.0
"""After a refusal a target is asked again after the first, each time in a row twice as long, up to the second: whoever has just set it up waits
seconds, and one that never agrees costs a request, and a write here, in ten minutes."""

HANDSHAKES_UNDER_WAY_MAX = 64
"""Targets that are asked at once: ten thousand rules after a start must leave connections to pushes."""

HANDSHAKE_RATE_DIGITS_MAX = 9
"""A thousand million requests a minute are as good as any number."""

HANDSHAKE_SHOWN_LENGTH = 60
"""Characters of what a target answered that status shows."""

TOKEN_TIMEOUT_S = 10.0
"""For fetching an access token. Pushes wait for it, and their leases are longer by it."""

TOKEN_ANSWER_BYTES_MAX = 64 * 1024
TOKEN_LENGTH_MAX = 8_192
"""What is read of a token server's answer, and an access token that stands in a header: those with many groups take some kilobytes."""

TOKEN_S_DEFAULT = 300.0
TOKEN_S_MAX = 86_400.0
"""How long a token is taken to hold that says nothing, and one that says too much: after it nothing is lost by asking again."""

TOKEN_REFRESH_S = 60.0
TOKEN_REFRESH_SHARE = 0.2
"""So long before its end a token is fetched anew, and at most that share of its life: pushes go on with the old one meanwhile."""

TOKEN_FAILURE_S = 5.0
"""Between a token server's failure and the next time that it is asked: waiting pushes are many, and it is one."""

TOKEN_TRUSTED_S = 30.0
"""After a 401 had another token fetched, a 401 is not taken for the token's fault for so long."""

TOKENS_MAX = 10_000
"""Grants whose tokens are kept: past it all are forgotten, and fetched again as they are needed."""

SECRET_KEYS_MAX = 100
"""Keys in the key file: the one in use, and those that older backups may need."""
