"""What a worker does: keeps leases coming, has them pushed, and tells the server what came of each.

Theory of operation. The pushing itself is the server's own `Dispatch`, unchanged: it takes leases, decides verdicts, and tells what is
under way. Where a server has its writer, a worker has two lines to the server, each with one request under way at most. One carries
reports: all verdicts that are in since the last one, sent when targets say nothing for a moment, and room for more. The step of the server
that writes them leases what they made room for, and the answer brings it. While there is much to do that is all: one request for many
deliveries. On the other line a worker waits for deliveries where a report brought none, or none is due.

Everything here happens on the thread that pushes: its transport calls `step` between two of its turns, so whatever targets have
answered is in by then. What others have to say (the server's answers, a wish to stop) waits as a call to be made in the next
step. A thread of its own would do, but each report would change threads four times, and wait for Python's lock as often.

Nothing is lost with a worker: what it held is leased, and its leases run out. Nothing is lost with the server either: what could not be
told is kept, bounded by what may be under way, and told when it is back; a server that leaves pushing to workers keeps their leases over
a restart. A verdict that was told twice counts once.

Time is the server's. Each hand-out carries bus time, and the worker's own clock goes on from there. Work time, by which deliveries grow
old, does so for a moment only: while the server is away it stands still there, too.
"""

import contextlib
import queue
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from eventyard import logbook
from eventyard.core import errors, handout, limits
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.commands import Settlement
from eventyard.dispatch import Dispatch
from eventyard.ports import Expressions, Tracing, Transport
from eventyard.tokens import TokenTransport
from eventyard.worker.line import Away, Line, Refused, Reply, Taken

RECEIVE = "/v1/dispatch/receive"
REPORT = "/v1/dispatch/report"


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
    """`pushes` goes to targets, `server` to the server at `url`, which asks for `key`. `now` is any monotonic clock, in seconds.

    `wake` has the thread that pushes call `step` soon.
    """

    def __init__(
        self,
        pushes: Transport,
        server: Transport,
        url: str,
        *,
        key: str = "",
        wake: Callable[[], None],
        say: Callable[[str], None],
        now: Callable[[], float],
        rng: random.Random,
        tracing: Tracing | None = None,
        wall_ms: Callable[[], int] | None = None,
        expressions: Expressions | None = None,
    ) -> None:
        """`wall_ms`: Unix time as targets know it; the server's where there is none."""
        self._url = url
        self._say = say
        self._now = now
        self._wake = wake
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._dispatch = Dispatch(
            TokenTransport(pushes, now),
            self._bus_time,
            _nothing,
            rng,
            tracing=tracing,
            wall_ms=wall_ms,
            expressions=expressions,
            wake_from_elsewhere=wake,
        )
        self._receiving = Line(server, url + RECEIVE, "application/json", key=key, hand_over=self._tell_news, now=now, rng=rng)
        self._reporting = Line(server, url + REPORT, handout.CONTENT_TYPE, key=key, hand_over=self._tell_news, now=now, rng=rng)
        self._reader = handout.Reader()
        self._buses: dict[int, BusRecord] = {}
        self._met = (BusTime(0, 0), 0.0)
        self._asked_at = 0.0
        self._ask_at = 0.0
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
        self._tell_news(self._stop)

    def _tell_news(self, news: Callable[[], None]) -> None:
        self._news.put(news)
        self._wake()

    # On the thread that pushes

    def step(self, was_idle: bool = True) -> float:
        """Take up what is new, report, and ask for more; all as far as there is reason to. In how many seconds there may be again.

        `was_idle`: no target had anything to say for a moment.
        """
        while not self._news.empty():
            self._news.get()()
        self._dispatch.send_due()
        if was_idle or self._dispatch.verdicts >= min(self._dispatch.under_way, limits.WORKER_VERDICTS_ENOUGH):
            self._report()
        if was_idle:
            self._ask()
        return self._wait_s()

    def wait(self, longest_s: float) -> None:
        """Until there is news, or time for the next request, `longest_s` at most: where no transport calls `step` any more."""
        with contextlib.suppress(queue.Empty):
            self._news.get(timeout=max(0.0, min(longest_s, self._wait_s())))()

    def _wait_s(self) -> float:
        now, moments = self._now(), []
        if not self._reporting.is_busy and self._dispatch.verdicts:
            moments.append(max(self._reporting.ready_at, now + limits.WORKER_LULL_S))
        if not self._receiving.is_busy and not self._reporting.is_busy and self._room() > 0:
            moments.append(max(self._receiving.ready_at, self._ask_at))
        if (next_ms := self._dispatch.next_ms) is not None:
            moments.append(now + (next_ms - self._bus_time().work_ms) / 1000)
        return min(moments) - now if moments else limits.WORKER_IDLE_S

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

    def _ask(self) -> None:
        room = self._room()
        if room > 0 and self._receiving.is_free and not self._reporting.is_busy and self._now() >= self._ask_at:
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
            handed = self._reader.read(body)
        except ValueError as error:
            self._receiving.put_off()
            self._misunderstand(str(error))
            return
        # What a worker without work had to wait for was all that there was. Else there may be more, which reports will bring.
        is_all = not self._dispatch.under_way and self._now() - self._asked_at > limits.WORKER_WAITED_S
        self._take(handed, self._asked_at, rest_s=0.0 if is_all else limits.WORKER_REST_S)

    def _take(self, handed: handout.Taken, asked_at: float, *, rest_s: float) -> None:
        """Have it pushed, and rest a moment before more is waited for."""
        self._meet(handed.time)
        self._ask_at = self._now() + (rest_s if handed.leases else 0.0)
        # A process that was stopped, or a machine that slept, finds leases that ran out meanwhile: others may have them by now.
        latest_ms = handed.time.work_ms + int((self._now() - asked_at) * 1000)
        for bus, leases in handed.leases:
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

    def _report(self) -> None:
        """All verdicts that are in, once the last report was answered: the longer that takes the more there are in the next."""
        if not self._dispatch.verdicts or not self._reporting.is_free:
            return
        self._dispatch.step()
        parts = [_Part(self._buses[number], command.settlements, done) for number, command, done in self._dispatch.collect()]
        if parts:
            self._told_at = self._now()
            room = 0 if self._receiving.is_busy else self._room()
            body = handout.encode_report(room, [(part.bus, part.settlements) for part in parts])
            self._reporting.send(body, partial(self._conclude, parts))

    def _conclude(self, parts: Sequence[_Part], reply: Reply) -> None:
        count = sum(len(part.settlements) for part in parts)
        answer: Unsent | None = None
        match reply:
            case Taken(body):
                answer = self._read_receipt(body, count)
            case Away(reason):
                self._miss(reason)
                answer = Unsent(reason)
            case Refused(reason):
                logbook.VERDICTS_REFUSED(count=count, error=reason)
        for part in parts:
            part.done(answer)

    def _read_receipt(self, body: bytes, count: int) -> Unsent | None:
        try:
            results, handed = self._reader.read_receipt(body)
        except ValueError as error:
            self._reporting.put_off()
            self._miss(str(error))
            return Unsent(str(error))
        self.told += count
        late = sum(1 for of_bus in results for word in of_bus if word is not None)
        if late:
            logbook.VERDICTS_LATE(late=late, count=count)
        self._take(handed, self._told_at, rest_s=limits.WORKER_REST_S)
        return None

    # Time

    def _bus_time(self) -> BusTime:
        time, met_at = self._met
        elapsed_ms = int((self._now() - met_at) * 1000)
        return BusTime(time.time_ms + elapsed_ms, time.work_ms + min(elapsed_ms, limits.WORKER_WORK_MS_MAX))


def _nothing() -> None:
    """Verdicts come on the thread that steps, and a step follows."""
