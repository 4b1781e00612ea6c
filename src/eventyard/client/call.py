"""A call: a request and how its answer is read, as values. What carries it out is a conversation without any I/O.

Theory of operation. Every method of the client is a pure function that returns a `Call`, or a generator of them (`Walk`).
`attempts` turns a call into a conversation: it yields what to send and after which wait, is handed what came of it, and
returns the typed answer or raises. So the synchronous and the asynchronous shell differ in one line each: how to wait and send.
"""

import itertools
import random
from collections.abc import Callable, Generator
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from eventyard.client.answers import Page
from eventyard.client.errors import Problem, ProblemError, Unreachable
from eventyard.client.patience import IMPATIENT, Outcome, Patience, Response, retry_after_s

T = TypeVar("T")

JSON = "application/json"


def address(*steps: str) -> str:
    """The path of a door, with the names in it percent-encoded."""
    return "/v1/" + "/".join(quote(step, safe="") for step in steps)


def condition(version: int | None) -> dict[str, str]:
    """The headers that ask for one version alone; 0: that there is none."""
    if version is None:
        return {}
    return {"if-match": f'"{version}"'} if version else {"if-none-match": "*"}


class Request(msgspec.Struct, frozen=True):
    """`path` as `address` makes it; `query` leaves out what was not asked. `wait_s`: how much longer an answer may take than usual."""

    method: str
    path: str
    query: dict[str, str] = {}
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = {}
    wait_s: float = 0.0


class Call(msgspec.Struct, Generic[T], frozen=True):
    """`read` gives the typed answer, or raises ProblemError. Without `is_retried` the first outcome is the last."""

    request: Request
    read: Callable[[Response], T]
    is_retried: bool = True


class Attempt(msgspec.Struct, frozen=True):
    """Send `request` after waiting `delay_s`."""

    request: Request
    delay_s: float


Walk = Generator[Call[Page[T]], Page[T], None]
"""Calls one after the other, each made of what the one before answered; together they give a stream of items."""


def attempts(call: Call[T], patience: Patience, rng: random.Random) -> Generator[Attempt, Outcome, T]:
    """One call as often as patience has it. Raises ProblemError or Unreachable as the last attempt ended."""
    patience = patience if call.is_retried else IMPATIENT
    delay_s: float | None = 0.0
    for number in itertools.count(1):
        outcome = yield Attempt(call.request, delay_s or 0.0)
        delay_s = patience.wait_s(outcome, number, chance=rng.random())
        if delay_s is None:
            break
    if isinstance(outcome, Unreachable):
        raise outcome
    return call.read(outcome)


def answer(kind: type[T]) -> Callable[[Response], T]:
    """Reads a 2xx body as `kind`; anything else raises ProblemError."""

    def read(response: Response) -> T:
        nothing(response)
        return decode(response, kind)

    return read


def decode(response: Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProblemError(unreadable(response, f"{error}")) from error


def nothing(response: Response) -> None:
    """Reads a 2xx answer that says no more than that."""
    if not 200 <= response.status < 300:
        raise problem_error(response)


def problem_error(response: Response) -> ProblemError:
    """The problem in the body; where there is none (a proxy answered, say), what can be told from outside."""
    try:
        problem = msgspec.json.decode(response.body, type=Problem)
    except msgspec.MsgspecError as error:
        problem = unreadable(response, f"{error}")
    if not problem.status:
        problem = msgspec.structs.replace(problem, status=response.status)
    return ProblemError(problem, retry_after_s=retry_after_s(response))


def unreadable(response: Response, reason: str) -> Problem:
    """The problem that whatever answered is not Eventyard."""
    start = response.body[:200].decode("utf-8", "replace")
    return Problem(
        type="urn:eventyard:problem:unreadable-answer",
        title="The answer is not one of Eventyard's",
        status=response.status,
        detail=f"HTTP status {response.status} with a body that is not Eventyard's ({reason}): {start!r}",
        found=start,
        wanted="an answer of Eventyard: is the address right, and is nothing else in between?",
    )
