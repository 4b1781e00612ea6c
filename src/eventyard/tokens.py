"""Pushes to targets that want a token of an OAuth 2.0 server: a transport over the transport, which puts the token in.

Theory of operation. A push that needs no token goes through untouched. One that needs it goes at once where a token is kept, else it waits for the fetch
that is under way for its grant, or begins it: there is never more than one. A token is fetched anew shortly before it ends, while pushes go on with the one there
is. One that cannot be fetched fails the pushes that wait, and those of the next moments, with the reason: each is retried by its rule's policy, and
the token server is not asked by each of them.

A target that answers 401 has its push sent once more with another token, which was fetched since; what it says then counts. A token that was fetched for this reason
is not doubted again for a while, so that a target which refuses every token costs the token server a request in that time and not one for each push.

Token servers are called through the same transport as targets: the same networks are allowed, redirects are not followed, time and size are bounded. Callbacks come on its
thread, `send` from any; nothing is called while the lock is held. Tokens are kept in memory alone.
"""

import threading
from collections.abc import Callable
from functools import partial

import msgspec

from eventyard.core import auth, limits
from eventyard.core.auth import Grant, Token
from eventyard.ports import PushAnswer, PushRequest, Transport

Done = Callable[[PushAnswer], None]
UNAUTHORIZED = 401


class _Waiting(msgspec.Struct, frozen=True):
    request: PushRequest
    done: Done
    is_second: bool


class _Kept(msgspec.Struct):
    """What is known of one grant. Times are seconds of a clock that only goes forward."""

    token: str = ""
    ends_at: float = 0.0
    stale_at: float = 0.0
    trusted_until: float = 0.0
    """Before this a 401 is no reason to doubt the token."""
    failure: PushAnswer | None = None
    asks_again_at: float = 0.0
    """After a failure it is not asked for before this."""
    is_fetching: bool = False
    is_doubted: bool = False
    """The fetch under way is for a 401."""
    waiting: list[_Waiting] = msgspec.field(default_factory=list)


class TokenTransport:
    """`ports.Transport` over another. `now`: seconds that only go forward."""

    def __init__(self, transport: Transport, now: Callable[[], float]) -> None:
        self._transport = transport
        self._now = now
        self._lock = threading.Lock()
        self._kept: dict[Grant, _Kept] = {}

    @property
    def is_running(self) -> bool:
        return self._transport.is_running

    def close(self) -> None:
        """The fetches under way fail, and with them the pushes that wait."""
        self._transport.close()

    def send(self, request: PushRequest, done: Done) -> None:
        if request.grant is None:
            self._transport.send(request, done)
        else:
            self._send(request.grant, _Waiting(request, done, is_second=False))

    def _send(self, grant: Grant, push: _Waiting) -> None:
        with self._lock:
            kept = self._of(grant)
            now = self._now()
            token = kept.token if now < kept.ends_at else ""
            failure = kept.failure if not token and now < kept.asks_again_at else None
            if not token and failure is None:
                kept.waiting.append(push)
            is_due = failure is None and now >= (kept.stale_at if token else 0.0) and now >= kept.asks_again_at
            begins = is_due and not kept.is_fetching
            kept.is_fetching = kept.is_fetching or begins
        if begins:
            self._fetch(grant)
        if token:
            self._send_with(grant, push, token)
        elif failure is not None:
            push.done(failure)

    def _of(self, grant: Grant) -> _Kept:
        """Under the lock."""
        kept = self._kept.get(grant)
        if kept is None:
            if len(self._kept) >= limits.TOKENS_MAX:
                self._kept = {known: one for known, one in self._kept.items() if one.is_fetching}
            kept = self._kept[grant] = _Kept()
        return kept

    def _send_with(self, grant: Grant, push: _Waiting, token: str) -> None:
        headers = (*push.request.headers, (auth.HEADER, auth.bearer(token)))
        authorized = msgspec.structs.replace(push.request, headers=headers, grant=None)
        self._transport.send(authorized, partial(self._answered, grant, push, token))

    def _answered(self, grant: Grant, push: _Waiting, token: str, answer: PushAnswer) -> None:
        if answer.status != UNAUTHORIZED or push.is_second or not self._doubt(grant, token):
            push.done(answer)
        else:
            self._send(grant, msgspec.structs.replace(push, is_second=True))

    def _doubt(self, grant: Grant, token: str) -> bool:
        """Whether there is, or will be, another token to try instead of one that was refused."""
        with self._lock:
            kept = self._of(grant)
            if kept.token and kept.token != token:
                return True
            if self._now() < max(kept.trusted_until, kept.asks_again_at):
                return False
            kept.token, kept.ends_at, kept.is_doubted = "", 0.0, True
            return True

    # The fetch

    def _fetch(self, grant: Grant) -> None:
        headers, body = auth.token_request(grant)
        request = PushRequest(grant.token_url, tuple(headers), body, limits.TOKEN_TIMEOUT_S, limits.TOKEN_ANSWER_BYTES_MAX)
        self._transport.send(request, partial(self._fetched, grant))

    def _fetched(self, grant: Grant, answer: PushAnswer) -> None:
        read = auth.read_token(answer.status, answer.body) if answer.status else answer.failure
        with self._lock:
            kept = self._of(grant)
            kept.is_fetching = False
            waiting, kept.waiting = kept.waiting, []
            if isinstance(read, Token):
                self._keep(kept, read)
            else:
                failure = f"no access token from {grant.host}: {read}"
                kept.failure = PushAnswer(0, {}, b"", failure=failure, is_refused=answer.is_refused)
                kept.asks_again_at = self._now() + limits.TOKEN_FAILURE_S
            failed = kept.failure
        for push in waiting:
            if isinstance(read, Token):
                self._send_with(grant, push, read.text)
            elif failed is not None:
                push.done(failed)

    def _keep(self, kept: _Kept, token: Token) -> None:
        """Under the lock."""
        now = self._now()
        kept.token = token.text
        kept.ends_at = now + token.holds_s
        kept.stale_at = kept.ends_at - min(limits.TOKEN_REFRESH_S, token.holds_s * limits.TOKEN_REFRESH_SHARE)
        kept.trusted_until = now + limits.TOKEN_TRUSTED_S if kept.is_doubted else 0.0
        kept.failure, kept.asks_again_at, kept.is_doubted = None, 0.0, False
