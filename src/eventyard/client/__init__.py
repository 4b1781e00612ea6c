"""The client: `Client` and `AsyncClient` speak to an Eventyard server. Described in docs/reference/client.md.

It stands alone: nothing here imports the rest of eventyard or what only a server needs.
"""

from eventyard.client.answers import (
    AccessKey,
    Bus,
    DeadLetter,
    Delivery,
    LastAnswer,
    NewKey,
    PatternVerdict,
    Published,
    Redriven,
    Replay,
    Retention,
    Rotated,
    Rule,
    RuleState,
    RuleStatus,
    Settled,
    ShapedRequest,
    StoredEvent,
    TransformTested,
    Trial,
    Verdict,
)
from eventyard.client.backtesting import Backtest, BacktestDay, BacktestGap, Samples, Tried, TriedDay, TriedRule
from eventyard.client.buffering import BufferFull, Refusal, Unpublished
from eventyard.client.detectors import Detector, DetectorChange, DetectorKey, DetectorState, SavedDetector, Turns
from eventyard.client.errors import ClientError, Gap, Problem, ProblemError, Reject, Retry, Unreachable
from eventyard.client.event import new_event
from eventyard.client.expectations import Expectation, ExpectationState, ExpectedKey, OpenedBy
from eventyard.client.explaining import AttemptAnswer, ExplainedDelivery, Judged, RuleExplanation
from eventyard.client.inbox import Inbox
from eventyard.client.outbox import Outbox
from eventyard.client.patience import Patience
from eventyard.client.publishers import AsyncPublisher, Publisher
from eventyard.client.received import CloudEvent
from eventyard.client.receiver import Receiver
from eventyard.client.rehearsing import Rehearsal, RehearsedDay, RehearsedKey, RehearsedSamples, RehearsedType, Told
from eventyard.client.relaying import RefusedRow, Relayed
from eventyard.client.schedules import Schedule, ScheduleState
from eventyard.client.service import RuleBelongsToOthers, Service
from eventyard.client.shells import AsyncClient, Client
from eventyard.client.signatures import InvalidSignature, verify_event_headers, verify_webhook
from eventyard.client.storytelling import Story, StoryBefore, StoryChapter, StoryDelivery, StoryEvent
from eventyard.client.working import Stopping, stop_on_signals

__all__ = [
    "AccessKey",
    "AsyncClient",
    "AsyncPublisher",
    "AttemptAnswer",
    "Backtest",
    "BacktestDay",
    "BacktestGap",
    "BufferFull",
    "Bus",
    "Client",
    "ClientError",
    "CloudEvent",
    "DeadLetter",
    "Delivery",
    "Detector",
    "DetectorChange",
    "DetectorKey",
    "DetectorState",
    "Expectation",
    "ExpectationState",
    "ExpectedKey",
    "ExplainedDelivery",
    "Gap",
    "Inbox",
    "InvalidSignature",
    "Judged",
    "LastAnswer",
    "NewKey",
    "OpenedBy",
    "Outbox",
    "Patience",
    "PatternVerdict",
    "Problem",
    "ProblemError",
    "Published",
    "Publisher",
    "Receiver",
    "Redriven",
    "Refusal",
    "RefusedRow",
    "Rehearsal",
    "RehearsedDay",
    "RehearsedKey",
    "RehearsedSamples",
    "RehearsedType",
    "Reject",
    "Relayed",
    "Replay",
    "Retention",
    "Retry",
    "Rotated",
    "Rule",
    "RuleBelongsToOthers",
    "RuleExplanation",
    "RuleState",
    "RuleStatus",
    "Samples",
    "SavedDetector",
    "Schedule",
    "ScheduleState",
    "Service",
    "Settled",
    "ShapedRequest",
    "Stopping",
    "StoredEvent",
    "Story",
    "StoryBefore",
    "StoryChapter",
    "StoryDelivery",
    "StoryEvent",
    "Told",
    "TransformTested",
    "Trial",
    "Tried",
    "TriedDay",
    "TriedRule",
    "Turns",
    "Unpublished",
    "Unreachable",
    "Verdict",
    "new_event",
    "stop_on_signals",
    "verify_event_headers",
    "verify_webhook",
]
