"""Times, places of the log, keys and amounts, as a person types them."""

import datetime
import json
import re
from typing import Any

from eventyard.cli.failures import Failure

_AGO = re.compile(r"(\d{1,9})([smhd])\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_SIZE = re.compile(r"(\d{1,15})(|[KMGT]i?B)\Z", re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def moment(text: str | None) -> datetime.datetime | str | None:
    """A time as the server reads it, or so long ago: `90s`, `15m`, `2h`, `3d`."""
    ago = _AGO.match(text or "")
    if ago is None:
        return text
    try:
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    except OverflowError:
        return text


def place(text: str) -> Any:
    """`earliest`, `latest`, a position, or a time."""
    if text in {"latest", "earliest"}:
        return text
    return int(text) if text.isascii() and text.isdigit() else moment(text)


def place_document(text: str) -> Any:
    """The same as a rule's document has it, where a deleted rule can be resumed too."""
    found = "resume" if text == "resume" else place(text)
    if isinstance(found, int):
        return {"position": found}
    if isinstance(found, datetime.datetime):
        return {"time": found.isoformat()}
    return found if found in {"latest", "earliest", "resume"} else {"time": found}


def key(text: str) -> Any:
    """An order key: the JSON that it spells (7 is a number, '"7"' is text), else the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if value is None else value


def seconds(text: str, *, option: str) -> float:
    """A length of time: `90s`, `15m`, `2h`, `3d`."""
    found = _AGO.match(text)
    if found is None:
        raise Failure(f'found {option} "{text}"', advice=f"{option} with a unit: 90s, 15m, 2h, 3d")
    return float(int(found[1]) * _SECONDS[found[2]])


def size(text: str, *, option: str) -> int:
    """An amount of bytes: `5000000`, `500MB`, `10GiB`."""
    found = _SIZE.match(text)
    if found is None:
        raise Failure(f'found {option} "{text}"', advice=f"{option} as bytes, or 500MB, 10GiB")
    return int(int(found[1]) * (1024 if "i" in found[2] else 1000) ** _POWERS[found[2][:1]])
