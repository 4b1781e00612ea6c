"""How long one match takes, in a process of its own, which may be slow or large and is then ended."""

import multiprocessing
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeVar

from eventyard.core import strict_json
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern, parse

MEMORY_MAX = 6 * 1024**3


class Figures(NamedTuple):
    """Seconds of processor time, and MB that the match took on top. `first`: the match that makes tables and decoder; `again`: the next."""

    verdict: str
    rules: int
    event_bytes: int
    reading_s: float = 0
    building_s: float = 0
    decoding_s: float = 0
    first_s: float = 0
    again_s: float = 0
    memory_mb: float = 0


def measured(make: Callable[[], tuple[list[str], bytes]], cap_s: int) -> Figures:
    """Past `cap_s` the match is given up and takes at least so long."""
    here, there = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_measure, args=(make, cap_s, there))
    child.start()
    there.close()
    try:
        return here.recv()  # type: ignore[no-any-return]
    except EOFError:
        return Figures("killed", 0, 0)
    finally:
        child.join()


class _Late(BaseException):
    pass


def _measure(make: Callable[[], tuple[list[str], bytes]], cap_s: int, out: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    signal.signal(signal.SIGALRM, _give_up)
    out.send(_figures(*make(), cap_s))


def _give_up(*_: object) -> None:
    raise _Late


def _figures(patterns: list[str], body: bytes, cap_s: int) -> Figures:
    reading_s, parsed = _timed(lambda: [parse(text) for text in patterns])
    building_s, index = _timed(lambda: _built(parsed))
    decoding_s, _ = _timed(lambda: strict_json.decode(body))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first_s, verdict = _timed(lambda: _verdict(index, body, cap_s))
    again_s, verdict = _timed(lambda: _verdict(index, body, cap_s)) if verdict != "given up" else (first_s, verdict)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return Figures(verdict, len(patterns), len(body), reading_s, building_s, decoding_s, first_s, again_s, memory)


def _built(parsed: list[Pattern]) -> Index:
    index = Index()
    for key, pattern in enumerate(parsed):
        index = index.with_rule(key, pattern)
    return index


def _verdict(index: Index, body: bytes, cap_s: int) -> str:
    signal.alarm(cap_s)
    try:
        return f"{len(index.match(body))} match"
    except PatternTooCostly:
        return "too costly"
    except _Late:
        return "given up"
    except MemoryError:
        return "no memory"
    finally:
        signal.alarm(0)


Found = TypeVar("Found")


def _timed(ask: Callable[[], Found]) -> tuple[float, Found]:
    began = time.process_time()
    found = ask()
    return time.process_time() - began, found
