"""A token server and the targets that want its tokens: slow, down, giving garbage or tokens that end at once; and tokens that are revoked.

What is held against the house: no push without a token that was given to it, one fetch at a time, no storm on a server that is down, and where a
target refuses a token one more try with another.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.ports import PushAnswer, PushRequest
from tests.simulation.books import BrokenPromise, Handed
from tests.simulation.world import World

HOST = "tokens"
OAUTH2 = {"token_url": f"http://{HOST}/token", "client_id": "yard", "client_secret": {"secret": "hush"}}
MOODS = ("ok", "ok", "slow", "hang", "500", "garbage", "short", "refuses")
_CREDENTIALS = "Basic " + base64.b64encode(b"yard:hush").decode()


class _Try(msgspec.Struct):
    """A push that was answered 401 under a lease, and the token that it came with."""

    token: str
    leases: int
    handed: Handed


class Logins:
    """`mood` is the token server's. `life` ends what is under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._given: dict[str, int] = {}
        """By token, until when it is good."""
        self._under_way = 0
        self._answered: list[int] = []
        """When the house was answered, whatever that was."""
        self._failed_ms: int | None = None
        self._refused: dict[Any, _Try] = {}
        self.mood = "ok"
        self.is_healed = False

    def restart(self) -> None:
        self._under_way, self._failed_ms = 0, None
        self._answered.clear()
        self._refused.clear()

    # The token server

    def give(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        self._check_asked(request)
        self._under_way += 1
        mood = "ok" if self.is_healed else self.mood
        delay_ms = {"slow": 8_000, "hang": int(request.timeout_s * 1000)}.get(mood, self._world.rng.choice((0, 50)))
        self._world.note(f"a token is asked for, and the server is {mood}")
        self._world.later(delay_ms, lambda: self._give(mood, done))

    def _check_asked(self, request: PushRequest) -> None:
        if dict(request.headers).get("authorization") != _CREDENTIALS or request.body != b"grant_type=client_credentials":
            raise BrokenPromise(f"a token is asked for as no server understands it: {request}")
        if self._under_way:
            raise BrokenPromise("a token is asked for while another one is on its way")
        now_ms = self._world.now_ms
        if self._failed_ms is not None and now_ms < self._failed_ms + limits.TOKEN_FAILURE_S * 1000:
            raise BrokenPromise(f"a token server that failed at {self._failed_ms} is asked again at {now_ms}")

    def _give(self, mood: str, done: Callable[[PushAnswer], None]) -> None:
        now_ms = self._world.now_ms
        self._under_way -= 1
        self._answered.append(now_ms)
        answer = self._answer(mood)
        self._failed_ms = None if mood in {"ok", "slow", "short"} else now_ms
        done(answer)

    def _answer(self, mood: str) -> PushAnswer:
        match mood:
            case "hang":
                return PushAnswer(0, {}, b"", "timed out")
            case "500" | "refuses":
                return PushAnswer(500 if mood == "500" else 401, {}, b'{"error": "invalid_client"}')
            case "garbage":
                return PushAnswer(200, {}, self._world.rng.choice((b"<html>", b"{}", b'{"access_token": "a\\nb"}')))
        token = f"token-{len(self._given) + 1}"
        holds_s = self._world.rng.choice((1, 10)) if mood == "short" else 3_600
        self._given[token] = self._world.now_ms + holds_s * 1000
        body = {"access_token": token, "token_type": "Bearer", "expires_in": holds_s}
        return PushAnswer(200, {}, json.dumps(body).encode())

    def revoke(self) -> None:
        """No token that was given is good any more."""
        self._world.note("all tokens are revoked")
        self._given = dict.fromkeys(self._given, 0)

    # Targets

    def is_good(self, request: PushRequest) -> bool:
        """Whether the token that it came with is good; that it came with one is asked for."""
        token = self._token(request)
        if token not in self._given:
            raise BrokenPromise(f"a push came without a token that the house was given: {request.headers}")
        return self._world.now_ms < self._given[token]

    def _token(self, request: PushRequest) -> str:
        return dict(request.headers).get("authorization", "").removeprefix("Bearer ")

    def refuse(self, request: PushRequest, handed: Handed) -> None:
        """It is answered 401."""
        self._refused[handed.incarnation, handed.key] = _Try(self._token(request), handed.lease, handed)

    def again(self, request: PushRequest, incarnation: str, key: Any, leases: int) -> Handed | None:
        """The push that comes a second time under one lease, since its token was refused; None for one that comes for the first time."""
        before = self._refused.pop((incarnation, key), None)
        if before is None:
            return None
        if before.leases != leases:
            self._check_tried(before)
            return None
        if before.handed.requests > 1:
            raise BrokenPromise(f"a push whose token was refused came a third time: {before.handed}")
        if before.token == self._token(request):
            raise BrokenPromise(f"a push came again with the token that was refused: {before}")
        before.handed.requests += 1
        before.handed.answered_ms = None
        return before.handed

    def _check_tried(self, refused: _Try) -> None:
        """It was not tried again with another token: then the token was a new one, or there was none to be had."""
        handed = refused.handed
        if handed.requests > 1 or handed.life != self._world.life or handed.answered_ms is None:
            return
        since_ms = handed.answered_ms - limits.TOKEN_TRUSTED_S * 1000
        if not any(since_ms <= at_ms for at_ms in self._answered):
            raise BrokenPromise(f"a push whose token was refused was not tried with another: {handed}")
