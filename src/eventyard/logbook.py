"""The logbook: everything that this house ever writes into a log, each as one entry, and how lines of it look.

Theory of operation. An entry is a value with a name, a level and a text; what the text names are its fields. It is written by calling it:

    logbook.COMMIT_FAILED(error=error.detail)

So who reads logs by machine has a closed set of names with the same fields each time, docs/reference/logs.md tells of all of them, and a
test holds page, table and calls together. Lines of others (uvicorn, asyncio, Python's warnings) come as `foreign`.

What is secret is never a field. Should it stand in somebody's text all the same, as in a URL inside an error, it is struck out here.
"""

import datetime
import logging
import re
from typing import Any

import msgspec

ROOT = "eventyard"


class Entry:
    """One thing that is told. `has_trace`: with where the exception that is being handled comes from."""

    def __init__(self, part: str, name: str, level: int, text: str, *, has_trace: bool = False) -> None:
        self.part = part
        self.name = name
        self.level = level
        self.text = text
        self.fields = tuple(_FIELD.findall(text))
        self._has_trace = has_trace
        self._logger = logging.getLogger(f"{ROOT}.{part}")

    @property
    def is_on(self) -> bool:
        """Whether anybody would read it: to be asked where the fields cost something."""
        return self._logger.isEnabledFor(self.level)

    def __call__(self, **fields: object) -> None:
        self._logger.log(self.level, self, *([fields] if fields else []), exc_info=self._has_trace)

    def __str__(self) -> str:
        return self.text


_FIELD = re.compile(r"%\((\w+)\)")

# The store

STORE_REWRITTEN = Entry(
    "store",
    "store-rewritten",
    logging.INFO,
    "the file is written anew once, so that it can give room back; this takes a moment and as much room again",
)
SECRET_LOST = Entry(
    "rules",
    "secret-lost",
    logging.ERROR,
    "the secret %(secret)s cannot be opened with the keys in the key file: its rule pushes nothing until it is put again, or the file is back",
)
STORE_BEHIND = Entry("writer", "store-behind", logging.ERROR, "this store is only read: %(error)s")
STORE_DISCARDED = Entry(
    "store",
    "store-discarded",
    logging.WARNING,
    "the store %(path)s was not closed before the machine stopped, or cannot be read: it is made again from the journal",
)
REMOVAL_STUCK = Entry(
    "store",
    "removal-stuck",
    logging.ERROR,
    "what retention or a deletion was to remove stays, for it cannot be read: %(error)s",
)
MARKS_MISSING = Entry(
    "store",
    "marks-missing",
    logging.WARNING,
    "the store has no marks: whether it lost its newest commits cannot be told; new ones are made",
)
MARKS_UNKNOWN = Entry(
    "store",
    "marks-unknown",
    logging.WARNING,
    "has no mark that can be read: %(buses)s; whether they lost commits cannot be told",
)
MARKS_UNWRITABLE = Entry(
    "store",
    "marks-unwritable",
    logging.WARNING,
    "the marks cannot be written (%(error)s): until they can, a loss of the newest commits would go unseen",
)
MARKS_UNREADABLE = Entry(
    "store",
    "marks-unreadable",
    logging.ERROR,
    "the marks cannot be read (%(error)s): whether something was lost cannot be told",
)
EVENT_DAMAGED = Entry(
    "store",
    "event-damaged",
    logging.ERROR,
    "the event at position %(position)d of bus %(bus_number)d is damaged; it is not served",
)
EVENTS_GONE = Entry(
    "store", "events-gone", logging.ERROR, "positions %(first)d to %(last)d of bus %(bus_number)d are gone or cannot be read"
)

# The journal, on a cluster

JOURNAL_AWAY = Entry(
    "journal",
    "journal-away",
    logging.WARNING,
    "the servers of the journal are away, and whoever publishes waits: %(error)s",
)
JOURNAL_BACK = Entry("journal", "journal-back", logging.WARNING, "the servers of the journal are back")

# The writer

STEP = Entry(
    "writer",
    "step",
    logging.DEBUG,
    "a step of %(took_ms).1f ms: %(buses)d buses, %(commands)d commands, %(events)d events, %(leases)d leases; %(outcome)s",
)
STEP_FAILED = Entry("writer", "step-failed", logging.ERROR, "a step failed on bus %(bus)s", has_trace=True)
COMMIT_FAILED = Entry("writer", "commit-failed", logging.WARNING, "a commit failed: %(error)s")
QUEUE_UNREAD = Entry("writer", "queue-unread", logging.WARNING, "a queue could not be read: %(error)s")
CLOCK_JUMPED = Entry(
    "writer",
    "clock-jumped",
    logging.WARNING,
    "the clock jumped ahead by more than is believed; bus time goes on at its own pace until a restart",
)

# What goes out

PUSHED = Entry(
    "dispatch",
    "pushed",
    logging.DEBUG,
    "bus %(bus)s, rule %(rule)s: position %(position)d, attempt %(attempt)d: %(status)d %(failure)s in %(took_ms).1f ms",
)
VERDICTS_LOST = Entry(
    "dispatch",
    "verdicts-lost",
    logging.ERROR,
    "verdicts were not taken, their deliveries are pushed again when the leases end: %(error)s",
)
ANSWER_UNHEARD = Entry("transport", "answer-unheard", logging.ERROR, "the receiver of a push's answer raised", has_trace=True)
LETTERS_TRIED = Entry(
    "bus",
    "letters-tried",
    logging.INFO,
    "rule %(rule)s of bus %(bus)s: %(count)d dead letters are tried on %(host)s",
)
VERDICTS_REFUSED = Entry(
    "worker",
    "verdicts-refused",
    logging.ERROR,
    "the server refused %(count)d verdicts, whose deliveries are pushed again when the leases end: %(error)s",
)
VERDICTS_LATE = Entry("worker", "verdicts-late", logging.INFO, "%(late)d of %(count)d verdicts came too late")

# What waits for the disk

BACKFILL_WAITS = Entry("backfill", "backfill-waits", logging.WARNING, "a backfill waits for the disk: %(error)s")
RETENTION_WAITS = Entry("retaining", "retention-waits", logging.WARNING, "retention waits for the disk: %(error)s")
SCRUBBER_RESTS = Entry("scrubber", "scrubber-rests", logging.WARNING, "the scrubber rests, for it could not read on: %(error)s")
START_WAITS = Entry(
    "serve",
    "start-waits",
    logging.ERROR,
    "the bus cannot start yet, and tries again every %(every_s)d s: %(error)s",
)

# The server

SERVER_STARTED = Entry(
    "serve",
    "server-started",
    logging.INFO,
    "eventyard %(version)s listens on %(url)s and holds %(buses)d buses, %(events)d events, %(rules)d rules, %(bytes)d bytes; "
    "%(pending)d deliveries wait",
)
SERVER_STOPPING = Entry(
    "serve",
    "server-stopping",
    logging.INFO,
    "%(by)s: listens no more in %(delay_s)g s and waits up to %(drain_s)g s from then for what is under way",
)
SERVER_STOPPED = Entry(
    "serve", "server-stopped", logging.INFO, "all that was accepted is on disk; %(unanswered)d pushes had no answer in time"
)

# The door

OPEN_TO_ALL = Entry(
    "serve",
    "open-to-all",
    logging.WARNING,
    "whoever reaches %(address)s can do everything: it asks nobody for a key, for it was started with --insecure",
)
FIRST_KEY = Entry("serve", "first-key", logging.INFO, "the first access key is %(key)s; it stands in %(file)s")
ISSUER_AWAY = Entry(
    "issuer",
    "issuer-away",
    logging.WARNING,
    "the issuer's keys could not be fetched, and those from before are used as long as they may: %(error)s",
)
ISSUER_KEPT = Entry(
    "serve",
    "issuer-kept",
    logging.ERROR,
    "the issuer's keys were not read again, and those from before stay in force: %(error)s",
)
TLS_RELOADED = Entry("serve", "tls-reloaded", logging.INFO, "the certificate was read again: new connections get it")
TLS_KEPT = Entry(
    "serve",
    "tls-kept",
    logging.ERROR,
    "the certificate was not read again, and the one before stays in force: %(error)s",
)
REQUEST = Entry("http", "request", logging.DEBUG, "%(method)s %(path)s: %(status)d")
REQUEST_FAILED = Entry("http", "request-failed", logging.ERROR, "a request failed", has_trace=True)
STREAM_FAILED = Entry("http", "stream-failed", logging.ERROR, "a stream failed", has_trace=True)
ANSWERS_UNHEARD = Entry(
    "bus",
    "answers-unheard",
    logging.WARNING,
    "a caller's event loop was closed before %(count)d answers reached it",
)

ENTRIES = tuple(value for value in list(globals().values()) if isinstance(value, Entry))

FOREIGN = "foreign"
"""What a line of somebody else is called."""


# Lines


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `part`, `event`, `message`, then the entry's fields, and `trace` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "part": _part(record),
            "event": _name(record),
            "message": record.getMessage(),
        }
        if isinstance(record.msg, Entry) and isinstance(record.args, dict):
            line |= record.args
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        text = msgspec.json.encode(line, enc_hook=str).decode()
        return without_secrets(_CONTROL.sub(lambda control: f"\\u{ord(control[0]):04x}", text))


class TextLines(logging.Formatter):
    """For people: `time level part event: message`, and what comes of an exception in lines below."""

    def format(self, record: logging.LogRecord) -> str:
        message = _CONTROL.sub(_escaped, record.getMessage())
        line = f"{_time(record)} {record.levelname.lower()} {_part(record)} {_name(record)}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return without_secrets(line)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _part(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{ROOT}.")


def _name(record: logging.LogRecord) -> str:
    return record.msg.name if isinstance(record.msg, Entry) else FOREIGN


def _escaped(control: re.Match[str]) -> str:
    """What a caller sent may end up in a message, and must not begin a line of its own."""
    return repr(control[0])[1:-1]


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def without_secrets(line: str) -> str:
    """A key keeps its prefix, which tells whose it is; of credentials in a URL or a header nothing stays."""
    return _BEARER.sub(r"\1 ***", _USERINFO.sub(r"\1***@", _KEY.sub(r"\1_***", _SIGNING.sub("whsec_***", line))))


_KEY = re.compile(r"\b(ey_[A-Za-z0-9]{4,16})_[A-Za-z0-9_-]{8,}")
_SIGNING = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"]+@", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
