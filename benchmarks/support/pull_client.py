"""One consumer that empties a queue in batches, in a process of its own: ours over HTTP, JetStream by nats-py, Redis by redis-py.

`python -m benchmarks.support.pull_client SYSTEM URL NAME --way plain` connects, prints a line, waits for one, empties the queue
NAME and prints one line of JSON: how many messages were received and acknowledged, when it began and ended (the clock of
`time.perf_counter`, one for all processes of a machine) and the processor time that this process used.

Ways: `plain` asks for a batch, acknowledges it, asks for the next. `overlapped` has the acknowledgement of a batch and the request
for the next one under way together. `together` (JetStream) acknowledges the last message of a batch and with it all before it.
Every consumer ends with the bytes of each event in hand; none of them reads what is in it.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

BATCH = 500
LEASE_S = 30
EMPTY_S = 2.0
WAYS = ("plain", "overlapped", "together")


class Delivery(msgspec.Struct):
    id: str
    lease: str
    attempt: int
    position: int
    event: msgspec.Raw


class Deliveries(msgspec.Struct):
    deliveries: list[Delivery]


class Result(msgspec.Struct):
    lease: str
    ok: bool


class Results(msgspec.Struct):
    results: list[Result]


class Consumer(ABC):
    """A queue that is emptied: how much was received and acknowledged so far, and when the last of it was."""

    def __init__(self) -> None:
        self.count = 0
        self.ended_at = 0.0

    def _taken(self, count: int) -> None:
        self.count += count
        self.ended_at = time.perf_counter()

    @abstractmethod
    def drain(self, way: str) -> None:
        """Until the queue gives nothing more."""


class Eventyard(Consumer):
    """Two connections of HTTP/1.1, of which only one has a request under way at a time unless that is asked for."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        bus, _, rule = name.partition("/")
        self._path = f"/v1/buses/{bus}/rules/{rule}"
        self._receiving, self._acknowledging = (http.client.HTTPConnection(parts.hostname or "", parts.port) for _ in range(2))
        self._receiving.connect()
        self._acknowledging.connect()
        self._asked, self._asked_to_wait = (
            json.dumps({"max": BATCH, "wait_s": wait_s, "lease_s": LEASE_S}).encode() for wait_s in (0, EMPTY_S)
        )
        self._encode = msgspec.json.Encoder().encode
        self._deliveries = msgspec.json.Decoder(Deliveries)
        self._results = msgspec.json.Decoder(Results)

    def drain(self, way: str) -> None:
        self._ask()
        while batch := self._received():
            self._acknowledge(batch)
            if way == "overlapped":
                self._ask()
                self._acknowledged()
            else:
                self._acknowledged()
                self._ask()

    def _ask(self) -> None:
        self._post(self._receiving, "receive", self._asked)

    def _received(self) -> list[Delivery]:
        """A rule that is far behind is fed from the log: the queue is empty now and then, and over only when it stays so."""
        found = self._deliveries.decode(_answer(self._receiving)).deliveries
        if not found:
            self._post(self._receiving, "receive", self._asked_to_wait)
            found = self._deliveries.decode(_answer(self._receiving)).deliveries
        return found

    def _acknowledge(self, batch: list[Delivery]) -> None:
        leases = [delivery.lease for delivery in batch]
        self._post(self._acknowledging, "acknowledge", self._encode({"leases": leases}))

    def _acknowledged(self) -> None:
        results = self._results.decode(_answer(self._acknowledging)).results
        self._taken(sum(result.ok for result in results))

    def _post(self, connection: http.client.HTTPConnection, verb: str, body: bytes) -> None:
        connection.request("POST", f"{self._path}/{verb}", body, {"content-type": "application/json"})


def _answer(connection: http.client.HTTPConnection) -> bytes:
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"found status {answer.status}: {body[:500]!r}")
    return body


class Redis(Consumer):
    """XREADGROUP and XACK; a batch is one command each, overlapped they go out together."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        from redis import Redis as Connection  # noqa: PLC0415 - a peer is optional

        self._name = name
        self._connection = Connection.from_url(url)
        self._connection.ping()

    def drain(self, way: str) -> None:
        batch = self._read(self._connection)
        while batch:
            ids = [each[0] for each in batch[0][1]]
            if way == "overlapped":
                with self._connection.pipeline(transaction=False) as pipeline:
                    pipeline.xack(self._name, self._name, *ids)
                    self._read(pipeline)
                    acknowledged, batch = pipeline.execute()
            else:
                acknowledged = self._connection.xack(self._name, self._name, *ids)
                batch = self._read(self._connection)
            self._taken(acknowledged)

    def _read(self, connection: Any) -> Any:
        return connection.xreadgroup(self._name, "consumer", {self._name: ">"}, count=BATCH)


class JetStream(Consumer):
    """A durable pull consumer: fetch and ack. Its acks go out without an answer, so a batch counts when they are written; at the end
    the server is asked whether it took them all."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._subscription = self._runner.run(self._subscribe(url, name))

    async def _subscribe(self, url: str, name: str) -> Any:
        import nats  # noqa: PLC0415 - a peer is optional

        connection = await nats.connect(url)
        return await connection.jetstream().pull_subscribe_bind(durable=name, stream=name)

    def drain(self, way: str) -> None:
        self._runner.run(self._drain(way))

    async def _drain(self, way: str) -> None:
        following = asyncio.ensure_future(self._fetch())
        while batch := await following:
            if way == "overlapped":
                following = asyncio.ensure_future(self._fetch())
                await asyncio.sleep(0)  # Its request leaves before the acks.
            for message in batch[-1:] if way == "together" else batch:
                await message.ack()
            self._taken(len(batch))
            if way != "overlapped":
                following = asyncio.ensure_future(self._fetch())
        pending = (await self._subscription.consumer_info()).num_ack_pending
        if pending:
            raise SystemExit(f"found {pending} messages that JetStream holds for unacknowledged, wanted 0")

    async def _fetch(self) -> list[Any]:
        """The next batch; none when nothing comes for a while, which is how an empty stream shows."""
        with contextlib.suppress(TimeoutError):
            messages: list[Any] = await self._subscription.fetch(BATCH, timeout=EMPTY_S)
            return messages
        return []


SYSTEMS: dict[str, Callable[[str, str], Consumer]] = {"eventyard": Eventyard, "jetstream": JetStream, "redis": Redis}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("url")
    parser.add_argument("name", help="of the queue; of ours BUS/RULE")
    parser.add_argument("--way", choices=WAYS, default="plain")
    options = parser.parse_args()
    consumer = SYSTEMS[options.system](options.url, options.name)
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu_s = time.perf_counter(), time.process_time()
    consumer.drain(options.way)
    told = {
        "count": consumer.count,
        "began": began,
        "ended": consumer.ended_at,
        "cpu_s": time.process_time() - cpu_s,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
