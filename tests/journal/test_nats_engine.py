"""The cluster's engine on a real server: what is committed stands in the journal, and the store is what the journal says."""

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import APIError

from eventyard.core.changes import Changes
from eventyard.core.errors import InvalidSettings, JournalAway, NotLeading, Stopping, StorageFailed, StorageFull
from eventyard.core.record import ID_BYTES, Diverged
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.nats.engine import NatsEngine
from eventyard.engines.nats.jetstream import JetStreams
from eventyard.ports import Engine
from tests.conformance.comparing import plain
from tests.conformance.engines import BUS, TIME, changes, event, founding, record, rule, waiting
from tests.support.nats_servers import NatsServer, nats_server, shared_server

_numbers = itertools.count()


class Failing(MemoryEngine):
    """Refuses every commit from when it is told to."""

    is_failing = False

    def commit(self, batch: Sequence[Changes]) -> None:
        if self.is_failing:
            raise StorageFailed("found a disk that fails")
        super().commit(batch)


class Place:
    """One installation on a server, on which engines are opened one after the other, or side by side."""

    def __init__(self, server: NatsServer, *, answer_s: float = 10) -> None:
        self.server = server
        self.answer_s = answer_s
        self.prefix = f"place-{next(_numbers)}"
        self.opened: list[NatsEngine] = []

    def streams(self) -> JetStreams:
        return JetStreams([self.server.url], prefix=self.prefix, answer_s=self.answer_s)

    def engine(self, store: Engine | None = None, leader: str = "a") -> NatsEngine:
        streams = self.streams()
        try:
            made = NatsEngine(
                streams, MemoryEngine() if store is None else store, leader=leader, ids=partial(os.urandom, ID_BYTES)
            )
        except BaseException:
            streams.close()
            raise
        self.opened.append(made)
        return made

    def close(self) -> None:
        for engine in self.opened:
            engine.close()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place(shared_server())
    yield made
    made.close()


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """On a server that nobody else uses."""
    with nats_server(tmp_path / "nats") as server:
        made = Place(server, answer_s=0.2)
        yield made
        made.close()


def told(engine: Engine) -> list[Any]:
    return [plain(loaded) for loaded in engine.load()]


def asked(streams: JetStreams, method: str, *arguments: Any, **named: Any) -> Any:
    return streams.ask(getattr(streams.manager, method), *arguments, **named)


# What a store is made of


def test_a_store_that_is_gone_is_made_again_from_the_journal(place: Place) -> None:
    first = place.engine()
    first.commit([founding(1)])
    first.commit([changes(event(1), event(2), puts=[waiting(1)], rules=[rule(7)])])

    again = place.engine()

    assert told(again) == told(first)
    assert again.view.events(BUS, 1, 9, 9) == [event(1), event(2)]


def test_a_store_that_the_process_left_behind_its_journal_gets_the_rest(place: Place) -> None:
    store = Failing()
    first = place.engine(store)
    first.commit([founding(1), changes(event(1))])
    store.is_failing = True
    with pytest.raises(StorageFailed):
        first.commit([changes(event(2))])
    store.is_failing = False

    with pytest.raises(NotLeading, match="the store refused what the journal has"):
        first.commit([changes(event(3))])
    assert place.engine(store).load()[1].head == 2


def test_a_record_larger_than_a_message_goes_in_parts(place: Place) -> None:
    large = event(1, note="x" * 2_500_000)
    place.engine().commit([founding(1), changes(large)])

    again = place.engine()

    assert again.view.event(BUS, 1) == large
    assert again.stands()[BUS].sequence == 1 + 3


def test_a_bus_that_is_removed_leaves_no_journal(place: Place) -> None:
    engine = place.engine()
    engine.commit([founding(1, 2), changes(event(1), bus=2)])
    streams = place.streams()
    assert streams.open(2) is not None

    engine.commit([Changes(0, TIME, 1, emptied_bus=2, buses=[record(2, is_deleted=True, is_removed=True)])])

    assert streams.open(2) is None
    assert [loaded.record.number for loaded in place.engine().load()] == [0, 1]
    streams.close()


def test_the_journal_of_a_bus_is_there_before_the_record_that_names_it(place: Place) -> None:
    engine = place.engine()
    engine.commit([founding(1)])
    streams = place.streams()
    assert streams.open(1) is not None
    streams.close()
    assert [loaded.record.number for loaded in place.engine().load()] == [0, 1]


# Who may write


def test_who_was_deposed_can_write_nothing_more(place: Place) -> None:
    old = place.engine(leader="a")
    old.commit([founding(1), changes(event(1))])
    new = place.engine(leader="b")

    with pytest.raises(NotLeading):
        old.commit([changes(event(2, id="lost"))])
    new.commit([changes(event(2, id="kept"))])
    with pytest.raises(NotLeading):
        old.commit([changes(event(3))])

    assert [stored.id for stored in place.engine(leader="c").view.events(BUS, 1, 9, 9)] == ["e1", "kept"]
    assert old.load()[1].head == 1


# Journals that are not what they were


def test_a_journal_that_was_deleted_is_not_begun_anew(place: Place) -> None:
    store = MemoryEngine()
    place.engine(store).commit([founding(1), changes(event(1))])
    streams = place.streams()
    streams.remove(BUS)
    streams.close()

    for started in (store, MemoryEngine()):
        with pytest.raises(Diverged, match="found no journal of bus 1"):
            place.engine(started)


def test_a_system_journal_that_was_deleted_is_not_begun_anew_over_a_store(place: Place) -> None:
    store = MemoryEngine()
    place.engine(store).commit([founding(1)])
    streams = place.streams()
    streams.remove(0)
    streams.close()

    with pytest.raises(Diverged, match="found no journal of bus 0"):
        place.engine(store)


def test_a_journal_that_begins_after_the_stand_of_a_store_is_not_enough(place: Place) -> None:
    engine = place.engine()
    engine.commit([founding(1), changes(event(1))])
    engine.commit([changes(event(2))])
    streams = place.streams()
    asked(streams, "purge_stream", f"{place.prefix}-journal-1", seq=3)
    streams.close()

    with pytest.raises(Diverged, match="begins at message 3"):
        place.engine()


def test_a_store_of_another_journal_is_told_from_ours(place: Place) -> None:
    other, store = Place(place.server), MemoryEngine()
    other.engine(store).commit([founding(1), changes(event(1))])
    ours = place.engine()
    ours.commit([founding(1), changes(event(1, id="ours"))])
    ours.commit([changes(event(2))])
    other.close()

    with pytest.raises(Diverged, match="does not follow"):
        place.engine(store)


# Bad weather


def test_a_commit_waits_while_the_server_is_away_and_is_kept_once(own_place: Place) -> None:
    engine = own_place.engine()
    engine.commit([founding(1), changes(event(1))])
    own_place.server.kill()
    waiting_commit = Started(lambda: engine.commit([changes(event(2))]))

    own_place.server.start()

    assert waiting_commit.error() is None
    assert [stored.id for stored in own_place.engine().view.events(BUS, 1, 9, 9)] == ["e1", "e2"]


def test_a_commit_whose_answer_is_lost_is_kept_once(own_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = own_place.engine()
    engine.commit([founding(1)])
    ask, lost = JetStreams.ask, iter([True])

    def forgetful(streams: JetStreams, method: Any, *arguments: Any, **named: Any) -> Any:
        found = ask(streams, method, *arguments, **named)
        if "headers" in named and next(lost, False):
            raise JournalAway("found that the answer was lost")
        return found

    monkeypatch.setattr(JetStreams, "ask", forgetful)
    engine.commit([changes(event(1))])

    assert next(lost, None) is None
    assert own_place.engine().load()[1].head == 1


def test_a_node_that_stops_does_not_wait_for_servers_that_sleep(own_place: Place) -> None:
    engine = own_place.engine()
    engine.commit([founding(1)])
    own_place.server.pause()
    waiting_commit = Started(lambda: engine.commit([changes(event(1))]))

    engine.give_up()

    assert isinstance(waiting_commit.error(), Stopping)
    own_place.server.resume()


def test_a_journal_that_is_deleted_under_a_commit_is_told_once_and_is_not_begun_anew(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    engine, streams = place.engine(), place.streams()
    engine.commit([founding(1), changes(event(1))])
    streams.remove(BUS)
    pauses, told = itertools.count(), threading.Event()
    pause = engine._streams.pause

    def counted() -> None:
        if next(pauses) == 3:
            told.set()
        pause()

    engine._journals[BUS]._pause = counted
    waiting_commit = Started(lambda: engine.commit([changes(event(2))]))
    assert told.wait(30)
    engine.give_up()

    assert isinstance(waiting_commit.error(), Stopping)
    (told_once,) = [record.getMessage() for record in caplog.records]
    assert told_once.endswith("whoever publishes waits: found nobody who answers (nats: no response from stream)")
    assert streams.open(BUS) is None
    streams.close()


def test_a_full_journal_refuses_and_goes_on_when_there_is_room(place: Place) -> None:
    engine, streams = place.engine(), place.streams()
    engine.commit([founding(1), changes(event(1))])
    config = asked(streams, "stream_info", f"{place.prefix}-journal-1").config
    config.max_bytes = 4_000
    asked(streams, "update_stream", config)

    with pytest.raises(StorageFull):
        engine.commit([changes(event(2, note="x" * 4_000))])
    config.max_bytes = 40_000
    asked(streams, "update_stream", config)
    engine.commit([changes(event(2, note="y" * 4_000))])

    streams.close()
    assert place.engine().view.events(BUS, 2, 9, 9) == [event(2, note="y" * 4_000)]


# Servers that will not do


def test_a_stream_of_somebody_else_is_not_touched(place: Place) -> None:
    streams = place.streams()
    asked(streams, "add_stream", name=f"{place.prefix}-journal-0", subjects=[f"{place.prefix}.mine"])

    with pytest.raises(InvalidSettings, match="is not of eventyard"):
        place.engine()
    streams.remove(0)
    asked(streams, "add_stream", name=f"{place.prefix}-other", subjects=[f"{place.prefix}.journal.0"])
    with pytest.raises(InvalidSettings, match="a stream has the name or the subject"):
        place.engine().commit([founding(1)])

    with pytest.raises(APIError):
        asked(streams, "stream_info", f"{place.prefix}-journal-0")
    streams.close()


def test_an_address_where_nobody_listens_is_told() -> None:
    with pytest.raises(JournalAway, match=r"wanted a server of NATS at nats://127\.0\.0\.1:1"):
        JetStreams(["nats://127.0.0.1:1"], connect_s=0.5)


def test_a_server_without_jetstream_is_told(tmp_path: Path) -> None:
    with nats_server(tmp_path, has_jetstream=False) as server, pytest.raises(InvalidSettings, match="without JetStream"):
        JetStreams([server.url])


def test_a_server_that_does_not_let_us_in_is_told(tmp_path: Path) -> None:
    options = 'authorization { user: "bus", password: "right" }'
    with nats_server(tmp_path, options) as server:
        with pytest.raises(InvalidSettings, match="does not let us in"):
            JetStreams([server.url])
        JetStreams([server.url.replace("//", "//bus:right@")]).close()


def test_a_server_whose_messages_are_too_small_is_told(tmp_path: Path) -> None:
    with nats_server(tmp_path, "max_payload: 65535") as server, pytest.raises(InvalidSettings, match="at least 65536"):
        JetStreams([server.url])


def test_a_server_that_is_too_old_is_told(old_server: str) -> None:
    with pytest.raises(InvalidSettings, match=r"version 2\.11; wanted 2\.12 or newer"):
        JetStreams([old_server])


@pytest.fixture
def old_server() -> Iterator[str]:
    """What a client sees of a server of 2.11: its greeting, and that it answers a ping."""
    ready, urls = threading.Event(), []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"X","version":"2.11.9","proto":1,"headers":true,"max_payload":1048576}\r\n')
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async def listen(stop: asyncio.Event) -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        urls.append(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        ready.set()
        await stop.wait()
        server.close()

    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(listen(stop)))
    thread.start()
    assert ready.wait(10)
    yield urls[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


class Started:
    """Something that runs on a thread of its own."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told by `error`
            self._error = error

    def error(self) -> BaseException | None:
        """What it ended with."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "it still waits"
        return self._error
