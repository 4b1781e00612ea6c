"""What a worker does: keeps leases coming, has them pushed, and tells the server what came of each.

Theory of operation. The pushing itself is the server's own `Dispatch`, unchanged: it takes leases, decides verdicts, and tells what is
under way. Where a server has its writer, a worker has two lines to the server, each with one request under way at most. One waits for
leases (a long poll, asked again as soon as it is answered, while pushes go on); the other carries verdicts, all that are in since the
last request. Everything here happens on the thread that calls `step`; transports hand over what they have as calls to be made
in the next step.

Nothing is lost with a worker: what it held is leased, and its leases run out. Nothing is lost with the server either: what could not be
told is kept, bounded by what may be under way, and told when it is back; a server that leaves pushing to workers keeps their leases over
a restart. A verdict that was told twice counts once.

Time is the server's. Each hand-out carries bus time, and the worker's own clock goes on from there. Work time, by which deliveries grow
old, does so for a moment only: while the server is away it stands still there, too.
"""

import logging
import queue
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from eventyard.core import errors, handout, limits
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.commands import Settlement
from eventyard.dispatch import Dispatch
from eventyard.ports import Transport
from eventyard.worker.line import Away, Line, Refused, Reply, Taken

log = logging.getLogger("eventyard.worker")

RECEIVE = "/v1/dispatch/receive"
SETTLE = "/v1/dispatch/settle"


class _Part(NamedTuple):
    """Verdicts of one bus, and who hears what became of them."""

    bus: BusRecord
    settlements: Sequence[Settlement]
    done: Callable[[Any], None]


class WrongServer(errors.Refused):
    """There is no sense in asking again."""

    code, title = "wrong-server", "The worker cannot push for this server"


class Unsent(errors.Unavailable):
    """Verdicts that did not reach the server: they are kept."""

    code, title = "unsent", "The verdicts were not sent"


class Worker:
    """`pushes` goes to targets, `server` to the server at `url`. `now` is any monotonic clock, in seconds."""

    def __init__(
        self,
        pushes: Transport,
        server: Transport,
        url: str,
        *,
        say: Callable[[str], None],
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._url = url
        self._say = say
        self._now = now
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._is_woken = False
        self._dispatch = Dispatch(pushes, self._bus_time, self._wake, rng)
        self._receiving = Line(server, url + RECEIVE, "application/json", hand_over=self._news.put, now=now, rng=rng)
        self._settling = Line(server, url + SETTLE, handout.CONTENT_TYPE, hand_over=self._news.put, now=now, rng=rng)
        self._reader = handout.Reader()
        self._buses: dict[int, BusRecord] = {}
        self._met = (BusTime(0, 0), 0.0)
        self._asked_at = 0.0
        self._told_at = 0.0
        self._is_met = False
        self._is_away = False
        self.is_stopping = False
        self.told = 0
        """Verdicts that the server has taken."""
        self.refusal: WrongServer | None = None
        """Why there is no sense in going on: what answers is no server of this version."""

    # From any thread, and from a signal's handler

    def stop(self) -> None:
        """Take no more leases. What is under way may end until `give_up`."""
        self._news.put(self._stop)

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._news.put(_nothing)

    # On the thread that steps

    def step(self) -> None:
        """Take up what is new, tell verdicts, and ask for more; all as far as there is reason to."""
        while True:
            try:
                news = self._news.get_nowait()
            except queue.Empty:
                break
            news()
        self._tell()
        self._ask()

    def wait(self, longest_s: float) -> None:
        """Until there is something new, or time for the next request, `longest_s` at most."""
        self._is_woken = False
        self._is_woken = (
            self._dispatch.has_verdicts
        )  # Their time comes by itself; in between the flag was down, so none is missed.
        wait_s = min(longest_s, self._wait_s())
        try:
            news = self._news.get(timeout=max(0.0, wait_s))
        except queue.Empty:
            return
        news()

    def _wait_s(self) -> float:
        now, moments = self._now(), []
        if not self._settling.is_busy and self._dispatch.has_verdicts:
            moments.append(max(self._settling.ready_at, self._told_at + limits.WORKER_SPACING_S))
        if not self._receiving.is_busy and self._room() > 0:
            moments.append(self._receiving.ready_at)
        return min(moments, default=now + 60.0) - now

    @property
    def is_over(self) -> bool:
        """It stops, and nothing is under way any more."""
        return self.is_stopping and not self._receiving.is_busy and not self._dispatch.under_way

    @property
    def under_way(self) -> int:
        """Pushes whose verdicts the server has not taken."""
        return self._dispatch.under_way

    def _stop(self) -> None:
        self.is_stopping = True
        self._dispatch.drain()

    def give_up(self) -> None:
        """What is still under way is given back, its attempt counted, as soon as the transport has ended it."""
        self._dispatch.give_up()

    # Leases

    def _ask(self, taking: int = 0) -> None:
        """For as many more as there is room for beside the `taking` that are about to be taken."""
        room = self._room() - taking
        if room > 0 and self._receiving.is_free:
            self._asked_at = self._now()
            self._receiving.send(msgspec.json.encode({"max": room, "wait_s": limits.WORKER_RECEIVE_S}), self._received)

    def _room(self) -> int:
        return 0 if self.is_stopping else min(limits.WORKER_RECEIVE_MAX, self._dispatch.room())

    def _received(self, reply: Reply) -> None:
        match reply:
            case Taken(body):
                self._read(body)
            case Away(reason):
                self._miss(reason)
            case Refused(reason):
                self._misunderstand(reason)

    def _read(self, body: bytes) -> None:
        try:
            taken = self._reader.read(body)
        except ValueError as error:
            self._receiving.put_off()
            self._misunderstand(str(error))
            return
        self._meet(taken.time)
        # A process that was stopped, or a machine that slept, finds leases that ran out meanwhile: others may have them by now.
        latest_ms = taken.time.work_ms + int((self._now() - self._asked_at) * 1000)
        self._ask(taking=sum(len(leases) for _, leases in taken.leases))
        for bus, leases in taken.leases:
            self._buses[bus.number] = bus
            if self.is_stopping:
                self._dispatch.give_back(bus, leases)
            else:
                self._dispatch.take(bus, [lease for lease in leases if lease.delivery.at_ms > latest_ms])

    def _meet(self, time: BusTime) -> None:
        self._met = (time, self._now())
        if not self._is_met:
            self._say(f"Pushing for the server at {self._url}")
        elif self._is_away:
            self._say("The server is back")
        self._is_met, self._is_away = True, False

    def _miss(self, reason: str) -> None:
        if not self._is_away:
            kept = self._dispatch.under_way
            self._say(f"The server does not answer: {reason}. It is asked until it does; {kept} deliveries are under way")
        self._is_away = True

    def _misunderstand(self, reason: str) -> None:
        """At first that is the end: it is no server, or one of another version. Later it may be one that is being replaced."""
        if self._is_met:
            self._miss(reason)
        else:
            wanted = "an Eventyard server of this version"
            self.refusal = WrongServer(f"found {reason}", wanted=wanted, at=self._receiving.url)

    # Verdicts

    def _tell(self) -> None:
        """All that are in. Not more often than makes sense: a request costs the server as much as a few verdicts."""
        if not self._settling.is_free or self._now() < self._told_at + limits.WORKER_SPACING_S:
            return
        self._is_woken = False
        self._dispatch.step()
        parts = [_Part(self._buses[number], command.settlements, done) for number, command, done in self._dispatch.collect()]
        if parts:
            self._told_at = self._now()
            body = handout.encode_verdicts([(part.bus, part.settlements) for part in parts])
            self._settling.send(body, partial(self._conclude, parts))

    def _conclude(self, parts: Sequence[_Part], reply: Reply) -> None:
        count = sum(len(part.settlements) for part in parts)
        answer: Unsent | None = None
        match reply:
            case Taken():
                self.told += count
            case Away(reason):
                self._miss(reason)
                answer = Unsent(reason)
            case Refused(reason):
                log.error(
                    "the server refused %d verdicts, whose deliveries are pushed again when the leases end: %s", count, reason
                )
        for part in parts:
            part.done(answer)

    # Time

    def _bus_time(self) -> BusTime:
        time, met_at = self._met
        elapsed_ms = int((self._now() - met_at) * 1000)
        return BusTime(time.time_ms + elapsed_ms, time.work_ms + min(elapsed_ms, limits.WORKER_WORK_MS_MAX))


def _nothing() -> None:
    """The news is that there are verdicts."""
