"""Deliveries to targets that behave badly, on the real engine and transport, one by one and in batches: each is delivered in the end, under one id.

How the transport reads each kind of bad answer is held in `test_transport_http`, where a name leads too; what token servers do badly in `test_tokens`, and what transforms do in
`test_expressions` and `test_shaped_pushes`. Here it is what becomes of the delivery.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import eventyard
from eventyard.core.event import split_batch
from tests.stages.test_bus import put, run, until_delivered
from tests.support.builders import an_event
from tests.support.targets import (
    Behaviour,
    Connection,
    Target,
    answer,
    answers,
    close_at_once,
    hangs_after,
    repeats,
    says,
)

HEAD = b"HTTP/1.1 200 Fine\r\ncontent-type: text/plain\r\n"

WEATHER: dict[str, Behaviour] = {
    "hangs before its headers": hangs_after(b""),
    "hangs within its headers": hangs_after(HEAD),
    "hangs after its headers": hangs_after(HEAD + b"content-length: 10\r\n\r\n"),
    "hangs within its body": hangs_after(HEAD + b"content-length: 10\r\n\r\n12345"),
    "drips its headers": repeats(HEAD, b"x-a: b\r\n", 0.02),
    "drips its body": repeats(HEAD + b"content-length: 100000\r\n\r\n", b"x", 0.02),
    "closes before it reads": close_at_once,
    "closes without an answer": says(b""),
    "closes within its headers": says(HEAD),
    "closes within its body": says(HEAD + b"content-length: 10\r\n\r\n123"),
    "closes within a chunk": says(HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\nabc"),
    "answers what is no HTTP": says(b"\x00\x01SSH-2.0-OpenSSH\r\n\r\n"),
    "sends headers without end": repeats(HEAD, b"x-long: " + b"y" * 8_000 + b"\r\n"),
    "redirects": says(answer(302, {"location": "http://169.254.169.254/latest/meta-data"})),
    "redirects to itself": says(answer(308, {"location": "/events"})),
    **{
        f"answers 429 with Retry-After {text!r}": says(answer(429, {"retry-after": text}))
        for text in ("soon", "-5", "1e9", "0x10", "", "\xff\xfe", "Thu, 99 Foo 9999 99:99:99 GMT", "1, 2", "NaN", "0" * 4_000)
    },
}


def once(bad: Behaviour) -> Behaviour:
    """The first connection is `bad`, all others are good."""
    begun: list[Connection] = []

    async def behave(connection: Connection) -> None:
        begun.append(connection)
        await (bad if len(begun) == 1 else answers(204))(connection)

    return behave


@pytest.mark.parametrize("http", [{}, {"batch": {"wait_s": 0}}], ids=["alone", "batched"])
@pytest.mark.parametrize("bad", WEATHER.values(), ids=WEATHER)
def test_a_delivery_outlives_a_target_that(bad: Behaviour, http: dict[str, Any], tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(once(bad)) as target:
            async with eventyard.open(folder / "shop.db") as bus:
                http_target = {"url": target.url, "timeout_s": 0.3, **http}
                await put(bus, "paid", target.url, target={"http": http_target})
                await bus.publish("default", [an_event(1)])
                await until_delivered(bus, "paid", 1)
                status = await bus.status("default", "paid")
                assert (status.dead, status.lag) == (0, 0)
            assert {_event(request.body) for request in target.requests} == {"e1"}
            name = "eventyard-batch" if http else "eventyard-delivery"
            assert len({request.headers[name] for request in target.requests}) == 1

    run(story, tmp_path)


def _event(body: bytes) -> str:
    (event,) = split_batch(body) if body.startswith(b"[") else [body]
    return str(json.loads(event)["id"])


@pytest.mark.parametrize("http", [{}, {"batch": {"wait_s": 0}}], ids=["alone", "batched"])
def test_a_gigabyte_of_an_answer_is_not_read(http: dict[str, Any], tmp_path: Path) -> None:
    """Its status is known and counts: what it says beside is nobody's business."""

    async def story(folder: Path) -> None:
        flood = repeats(HEAD + b"content-length: 1073741824\r\n\r\n", b"x" * 65_536)
        with Target(flood) as target:
            async with eventyard.open(folder / "shop.db") as bus:
                await put(bus, "paid", target.url, target={"http": {"url": target.url, **http}})
                await bus.publish("default", [an_event(1)])
                await until_delivered(bus, "paid", 1)
            assert target.bytes_written < 64 * 1024 * 1024
            assert len(target.requests) == 1

    run(story, tmp_path)


def test_one_bad_target_delays_no_other(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(hangs_after(HEAD)) as bad, Target(answers(204)) as good:
            async with eventyard.open(folder / "shop.db") as bus:
                await put(bus, "bad", bad.url, target={"http": {"url": bad.url, "timeout_s": 60, "batch": {"wait_s": 0}}})
                await put(bus, "good", good.url)
                await bus.publish("default", [an_event(number) for number in range(100)])
                await until_delivered(bus, "good", 100)
                await asyncio.to_thread(bad.wait_for_requests, 2)
                assert (await bus.status("default", "bad")).delivered == 0
                await bus.stop(drain_s=0)

    run(story, tmp_path)
