"""Times as the door writes them: RFC 3339 in UTC with milliseconds."""

import datetime

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def rfc3339(unix_ms: int) -> str:
    """Milliseconds are added as an integer, since a float of seconds loses the last of them."""
    moment = _EPOCH + datetime.timedelta(milliseconds=unix_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
