"""An issuer whose tokens open the bus: JWT of an OIDC provider, instead of keys of our own.

`tokens` reads a token and says who sent it and what they may do; `key_set` reads the issuer's public keys (JWKS), which `sources` has from
a file or from an address that is pinned. The library for it all lives in this room alone.
"""

from eventyard.issuer.sources import FetchedKeys, FileKeys, KeySource
from eventyard.issuer.tokens import Issuer, Policy

__all__ = ["FetchedKeys", "FileKeys", "Issuer", "KeySource", "Policy"]
