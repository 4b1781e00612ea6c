"""What a call can end in besides its answer: the server said no, or nothing that could be understood was heard of it."""

import msgspec

RETRY_S_MAX = 24 * 60 * 60
"""The longest delay that a bus takes."""


class ClientError(Exception):
    """The root of what this client raises. Arguments that cannot be sent at all raise ValueError or TypeError."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of RFC 9457 with the bus's own members: what was found, what was wanted, and where (`at`).

    `at` is a JSON pointer into what was sent, or the name of a header, query field or file.
    """

    type: str = ""
    title: str = ""
    status: int = 0
    detail: str = ""
    found: str = ""
    wanted: str = ""
    at: str = ""

    @property
    def code(self) -> str:
        """What a program reads: `invalid-rule`, `not-found`, ..., as listed in docs/reference/errors.md."""
        return self.type.rpartition(":")[2]


class ProblemError(ClientError):
    """The server refused, or failed. Its problem's members are members here."""

    def __init__(self, problem: Problem, *, retry_after_s: float | None = None) -> None:
        self.problem = problem
        self.code = problem.code
        self.title = problem.title
        self.status = problem.status
        self.detail = problem.detail
        self.found = problem.found
        self.wanted = problem.wanted
        self.at = problem.at
        self.retry_after_s = retry_after_s
        """When the server expects the same request to fare better; None where it did not say."""
        super().__init__(problem.detail or problem.title or f"HTTP status {problem.status}")


class Unreachable(ClientError):
    """No answer: no connection, a broken one, or none in time. What was sent may or may not have been taken."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"no answer from {url}: {reason}")


class Gap(ClientError):
    """The bus cannot give events `first` to `last`. Following `after=gap.last` goes on behind them.

    `reason`: "retention" (they were removed), "damaged", or "evaluation" (the pattern would cost too much on it).
    """

    def __init__(self, first: int, last: int, reason: str) -> None:
        self.first = first
        self.last = last
        self.reason = reason
        events = f"event {first}" if first == last else f"events {first} to {last}"
        super().__init__(f"{events} cannot be given: {reason}")


class Reject(Exception):
    """Raised by a handler: this delivery can never be done. It becomes a dead letter that keeps the reason."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


class Retry(Exception):
    """Raised by a handler: not now, but again after `delay_s`, up to a day, without anybody being told of a failure."""

    def __init__(self, delay_s: float = 0.0, reason: str = "") -> None:
        if not 0 <= delay_s <= RETRY_S_MAX:
            raise ValueError(f"found delay_s={delay_s}; wanted 0 to {RETRY_S_MAX}")
        self.delay_s = delay_s
        self.reason = reason
        super().__init__(reason or f"again after {delay_s:g} s")
