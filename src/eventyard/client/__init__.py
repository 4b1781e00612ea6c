"""The client: `Client` and `AsyncClient` speak to an Eventyard server. Described in docs/reference/client.md.

It stands alone: nothing here imports the rest of eventyard or what only a server needs.
"""

from eventyard.client.answers import (
    Bus,
    DeadLetter,
    LastAnswer,
    PatternVerdict,
    Published,
    Redriven,
    Rule,
    RuleState,
    RuleStatus,
    StoredEvent,
    Verdict,
)
from eventyard.client.errors import ClientError, Gap, Problem, ProblemError, Unreachable
from eventyard.client.event import new_event
from eventyard.client.patience import Patience
from eventyard.client.shells import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "Bus",
    "Client",
    "ClientError",
    "DeadLetter",
    "Gap",
    "LastAnswer",
    "Patience",
    "PatternVerdict",
    "Problem",
    "ProblemError",
    "Published",
    "Redriven",
    "Rule",
    "RuleState",
    "RuleStatus",
    "StoredEvent",
    "Unreachable",
    "Verdict",
    "new_event",
]
