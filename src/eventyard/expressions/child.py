"""The process that evaluates. It reads jobs from standard input and writes what came of each, until there is no more to read.

It knows no secret and opens nothing. Past its processor time the kernel ends it; past its memory it says so and ends itself.
"""

import json
import os
import resource
import signal
import sys
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec
from jsonata.jexception import JException  # type: ignore[import-untyped]
from jsonata.jsonata import Jsonata  # type: ignore[import-untyped]

from eventyard.core import limits
from eventyard.expressions.messages import LENGTH, Job
from eventyard.ports import ExpressionFailed, Outcome, Values


def main() -> None:
    jobs, outcomes = _pipes()
    _limit()
    _write(outcomes, Values(()))
    while header := jobs.read(LENGTH.size):
        (length,) = LENGTH.unpack(header)
        job = _JOB.decode(jobs.read(length))
        outcome = _bounded(job)
        _write(outcomes, outcome)
        if isinstance(outcome, ExpressionFailed) and outcome.is_last:
            return


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Whatever the library prints goes nowhere."""
    outcomes = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), 1)
    return sys.stdin.buffer, outcomes


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limits.EXPRESSION_MEMORY_BYTES, limits.EXPRESSION_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _write(outcomes: BinaryIO, outcome: Outcome) -> None:
    body = msgspec.msgpack.encode(outcome)
    outcomes.write(LENGTH.pack(len(body)) + body)
    outcomes.flush()


def _bounded(job: Job) -> Outcome:
    signal.setitimer(signal.ITIMER_PROF, limits.EXPRESSION_CPU_S)  # Nothing catches SIGPROF: it ends the process.
    try:
        return _evaluated(job)
    except MemoryError:
        return ExpressionFailed(f"it took more than {limits.EXPRESSION_MEMORY_BYTES // 1024**2} MiB of memory", is_last=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _evaluated(job: Job) -> Outcome:
    number = 0
    try:
        event = json.loads(job.event) if job.event else None
        facts = {name: json.loads(text) for name, text in job.facts.items()}
        found = []
        for number, text in enumerate(job.expressions):  # noqa: B007 - it is told where it failed
            expression = _parsed(text)
            found.append(_value(expression, event, facts) if job.event else None)
        return Values(tuple(found))
    except JException as error:
        return ExpressionFailed(_printable(str(error)), number, max(0, error.location))
    except RecursionError:
        return ExpressionFailed("it is nested too deeply", number)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the library lets through whatever its functions raise on odd values
        return ExpressionFailed(_printable(f"{type(error).__name__}: {error}"), number)


@lru_cache(limits.EXPRESSIONS_KEPT)
def _parsed(text: str) -> Any:
    return Jsonata(text)


def _value(expression: Any, event: Any, facts: dict[str, Any]) -> bytes | None:
    frame = expression.create_frame()
    frame.set_runtime_bounds(None, limits.EXPRESSION_DEPTH_MAX)
    for name, fact in facts.items():
        frame.bind(name, fact)
    found = expression.evaluate(event, frame)
    if found is None:
        return None
    text = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(text) > limits.TRANSFORMED_BYTES_MAX:
        raise ValueError(f"found more than {limits.TRANSFORMED_BYTES_MAX} bytes")
    return text


def _printable(text: str) -> str:
    return "".join(character for character in text[: limits.TRANSFORM_FAILURE_CHARACTERS] if character.isprintable())


_JOB = msgspec.msgpack.Decoder(Job)

if __name__ == "__main__":
    main()
