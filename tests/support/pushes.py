"""Pushes by a transport, and their answers."""

import queue

from eventyard.core.network import Policy
from eventyard.ports import PushAnswer, PushRequest, Transport
from tests.support.targets import WAIT_S, Target

HOME = Policy(is_loopback_allowed=True)


class Answers:
    """Keeps what `done` was told, and waits for it."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[PushAnswer] = queue.Queue()

    def put(self, answer: PushAnswer) -> None:
        self._arrived.put(answer)

    def next(self) -> PushAnswer:
        return self._arrived.get(timeout=WAIT_S)

    def next_many(self, count: int) -> list[PushAnswer]:
        return [self.next() for _ in range(count)]

    @property
    def is_empty(self) -> bool:
        return self._arrived.empty()


def request_to(
    url: str, *, body: bytes = b"{}", timeout_s: float = 10.0, headers: tuple[tuple[str, str], ...] = ()
) -> PushRequest:
    return PushRequest(url=url, headers=(("content-type", "application/json"), *headers), body=body, timeout_s=timeout_s)


def push(transport: Transport, request: PushRequest) -> PushAnswer:
    answers = Answers()
    transport.send(request, answers.put)
    return answers.next()


def named(target: Target, host: str = "shop.invalid") -> str:
    return f"http://{host}:{target.port}/events"
