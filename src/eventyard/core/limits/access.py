"""Access keys, and tokens of issuers."""

KEYS_MAX = 1_000
"""Access keys, those that are over and still told of included. One list answers all of them, and all stand in memory."""

GRANT_NAMES_MAX = 100
GRANT_TEXT_MAX = 255
"""Buses or types that one key names, and characters of a source or a type: each request with the key goes through them."""

AUTHORIZATION_BYTES_MAX = 8 * 1024
"""A header Authorization. A key has 76 bytes; a token of an issuer with many groups in it has a few thousand, and is decoded and
its signature verified before anybody knows whose it is."""

JWKS_BYTES_MAX = 256 * 1024
JWKS_KEYS_MAX = 100
JWKS_S_MAX = 10.0
"""A set of an issuer's public keys, and how long it may take to come. Large issuers have four keys of 2 KB."""

JWKS_FRESH_S = 600.0
"""How long fetched keys are used before they are fetched again, beside the requests."""

JWKS_STALE_S = 24 * 3600.0
"""How old they may become while the issuer is away. Issuers publish a key a day or more before they sign by it, and keep it as long after."""

JWKS_RETRY_S = 30.0
"""Between two fetches, whoever asks for them: a token that names a key nobody has costs the issuer no more than that."""

TOKENS_KNOWN_MAX = 10_000
"""Tokens whose signature was verified, by their digests: 500 bytes each."""

SUBJECT_MAX = 200
"""Characters of a token's subject, which each edit records."""

PERMIT_LOOK_S = 30.0
"""How often a stream whose key expires looks at the clock, which may have been set meanwhile."""
