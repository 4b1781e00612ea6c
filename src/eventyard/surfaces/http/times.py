"""Times as the door writes them: RFC 3339 in UTC with milliseconds."""

import datetime
from functools import lru_cache

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@lru_cache(maxsize=1024)
def rfc3339(unix_ms: int) -> str:
    """Remembered, since events of one step have one time. Milliseconds are added as an integer, since a float of seconds loses the last of them."""
    moment = _EPOCH + datetime.timedelta(milliseconds=unix_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
