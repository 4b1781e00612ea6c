"""The answer table: what an HTTP status of a target means for a delivery. DESIGN.md section 7, and what a rule says otherwise.

| status                         | meaning                                                             |
| ------------------------------ | ------------------------------------------------------------------- |
| 2xx                            | `delivered`                                                         |
| 400, 413, 415, 422             | `dead`: a dead letter at once, for the same event would fail again  |
| 401, 403                       | `slow`: tried again, and never soon                                 |
| 410                            | `pause`: the rule is paused; the delivery waits, not counted        |
| any other, 3xx among them      | `retry`                                                             |

A rule's `answers` may say otherwise for a status ("404") or a class ("5xx"); a status beats a class, and what neither names stays as above.
"""

import re
from collections.abc import Mapping
from typing import Literal

from eventyard.core import limits
from eventyard.core.errors import InvalidRule

Meaning = Literal["delivered", "retry", "slow", "dead", "pause"]
Answers = dict[str, Meaning]

KEY_PATTERN = "^([2-5][0-9]{2}|[2-5]xx)$"
_KEY = re.compile(KEY_PATTERN)

GONE = 410
_USUAL: Mapping[int, Meaning] = {
    **dict.fromkeys((400, 413, 415, 422), "dead"),
    **dict.fromkeys((401, 403), "slow"),
    GONE: "pause",
}


def usual(status: int) -> Meaning:
    """What a status means where a rule says nothing of it."""
    return "delivered" if 200 <= status < 300 else _USUAL.get(status, "retry")


def meaning(answers: Answers, status: int) -> tuple[Meaning, str]:
    """What a status means for a rule with these `answers`, and the line of them that says so, as `5xx: slow`; empty where none does."""
    if answers:
        for line in (str(status), f"{status // 100}xx"):
            if line in answers:
                return answers[line], f"{line}: {answers[line]}"
    return usual(status), ""


def check(answers: Answers, *, at: str) -> None:
    """`InvalidRule` where a line names neither a status nor a class of them."""
    if len(answers) > limits.ANSWER_LINES_MAX:
        raise InvalidRule(f"found {len(answers)} lines", wanted=f"at most {limits.ANSWER_LINES_MAX}", at=at)
    for line in answers:
        if not _KEY.match(line) or not line.isascii() or line.endswith("\n"):
            wanted = 'a status from "200" to "599", or a class of them from "2xx" to "5xx"'
            raise InvalidRule(f'found the answer "{line[:60]}"', wanted=wanted, at=f"{at}/{line[:60]}")
