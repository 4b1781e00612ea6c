"""Handshakes: asks targets for their consent to be pushed to, for rules that want it, and tells the writer what came of it.

It stands beside the keeper and asks at once, and after a refusal again when that falls due. A request carries the rule's address and nothing else of the
rule: whoever has not agreed yet gets no secret. It goes through the transport of pushes, so the same networks are allowed and time and size are bounded.
What is known stands in the rules' records; nothing but what is under way is kept here.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from eventyard.core import handshake, limits
from eventyard.core.bus_state import BusState
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command, HearHandshake
from eventyard.core.handshake import Agreed, Refused
from eventyard.core.rule import RuleRecord
from eventyard.ports import PushAnswer, PushRequest, Transport

Submit = Callable[[int, Command, Callable[[Any], None]], None]

_Key = tuple[int, int]
"""A bus and a rule of it."""


class Handshakes:
    """`step` is called from one thread; answers come on the transport's and the writer's. `origin`: who asks."""

    def __init__(
        self, states: Mapping[int, BusState], submit: Submit, transport: Transport, now: Callable[[], BusTime], origin: str
    ) -> None:
        self._states = states
        self._submit = submit
        self._transport = transport
        self._now = now
        self._origin = origin
        self._under_way: set[tuple[_Key, str]] = set()
        """With the URL that is asked: another URL is asked while this one has yet to answer."""
        self._others: set[_Key] | None = None
        """Rules whose consent was given to another name than the bus has since this start. None: not looked for yet."""

    def step(self) -> bool:
        """Ask whoever is to be asked now. False where nobody is."""
        if self._others is None:
            self._others = set(self._given_to_another())
        work_ms = self._now().work_ms
        asked = 0
        for key, record in list(self._wanted()):
            heard = record.heard
            if len(self._under_way) >= limits.HANDSHAKES_UNDER_WAY_MAX:
                break
            if self._may_ask(key, record) and (heard is None or heard.due_ms <= work_ms):
                self._ask(key, record)
                asked += 1
        return bool(asked)

    def idle_ms(self) -> int | None:
        """How long until somebody is to be asked, as `Keeper.idle_ms`."""
        waiting = [record for key, record in list(self._wanted()) if self._may_ask(key, record)]
        due = [0 if record.heard is None else record.heard.due_ms for record in waiting]
        return max(0, min(due) - self._now().work_ms) if due else None

    def _wanted(self) -> Iterator[tuple[_Key, RuleRecord]]:
        """Rules that have no consent yet, and those whose consent is another's."""
        for number, state in list(self._states.items()):
            for uid in state.protection.asking.copy():
                if (record := state.by_uid.get(uid)) is not None:
                    yield (number, uid), record
        for number, uid in list(self._others or ()):
            found = self._states.get(number)
            record = found.by_uid.get(uid) if found is not None else None
            if record is not None and record.is_asked and (heard := record.heard) and heard.origin != self._origin:
                yield (number, uid), record
            elif self._others is not None:
                self._others.discard((number, uid))

    def _given_to_another(self) -> Iterator[_Key]:
        for number, state in list(self._states.items()):
            for uid, record in state.by_uid.copy().items():
                if (heard := record.heard) is not None and heard.is_given and heard.origin != self._origin:
                    yield number, uid

    def _may_ask(self, key: _Key, record: RuleRecord) -> bool:
        http = record.rule.target.http
        return http is not None and not record.is_paused and (key, http.url) not in self._under_way

    def _ask(self, key: _Key, record: RuleRecord) -> None:
        http = record.rule.target.http
        if http is None:
            return
        self._under_way.add((key, http.url))
        headers = handshake.headers(self._origin, record.rule.delivery.rate_per_s)
        request = PushRequest(http.url, headers, b"", http.timeout_s, limits.PUSH_ANSWER_BYTES, method="OPTIONS")
        self._transport.send(request, partial(self._answered, key, http.url))

    def _answered(self, key: _Key, url: str, answer: PushAnswer) -> None:
        number, uid = key
        came: Agreed | Refused
        came = handshake.read(answer.status, answer.headers, self._origin) if answer.status else Refused(answer.failure)
        self._submit(number, HearHandshake(uid, url, self._origin, came), lambda _: self._under_way.discard((key, url)))
