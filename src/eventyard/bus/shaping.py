"""Transforms, as whoever saves or tries one asks for them: read, and evaluated on one event."""

import asyncio
import contextlib

from eventyard import pushing
from eventyard.bus.asking import Asking
from eventyard.core import limits, network
from eventyard.core.errors import InvalidRule, Overloaded
from eventyard.core.target import HttpTarget, check_http, compiled_transform
from eventyard.core.transform import TransformFailed
from eventyard.core.transform.jsonata import Program
from eventyard.core.transform.shaped import Shaped
from eventyard.ports import ExpressionFailed, Expressions, Outcome, PushRequest, PutOff, Values

TRYING = "tried"
"""Whose turn it is where no rule asks."""


class ShapingCalls(Asking):
    """`_expressions`: None where no rule can have any. `_tried`: how many evaluations are under way for callers."""

    _expressions: Expressions | None
    _tried = 0

    async def preview(self, target: HttpTarget, event: bytes) -> PushRequest:
        """What a target would get of an event, without secrets. Nothing is sent. `TransformFailed`, `InvalidRule`."""
        network.parse_url(target.url)
        check_http(target)
        await self._check_expressions(target)
        return pushing.preview(target, event, await self._shaped(target, event, pushing.EXAMPLE))

    async def _check_expressions(self, target: HttpTarget) -> None:
        """`InvalidRule` for an expression that cannot be read, with its place."""
        program = compiled_transform(target)
        if not isinstance(program, Program):
            return
        outcome = await self._evaluated(program, b"", {})
        if isinstance(outcome, ExpressionFailed):
            place = program.places[outcome.number] if outcome.number >= 0 else ""
            at = f"/target/http/transform/jsonata/{place}".rstrip("/")
            where = f" at character {outcome.character}" if outcome.character else ""
            raise InvalidRule(f"found{where}: {outcome.reason}", wanted="an expression in JSONata", at=at)

    async def _shaped(self, target: HttpTarget, event: bytes, facts: dict[str, bytes]) -> Shaped | None:
        """None where the target has no transform. A template is filled in on another thread: it may be large."""
        compiled = compiled_transform(target)
        if compiled is None:
            return None
        if not isinstance(compiled, Program):
            return await asyncio.to_thread(compiled.shape, event, facts)
        outcome = await self._evaluated(compiled, event, facts)
        if isinstance(outcome, ExpressionFailed):
            raise TransformFailed(compiled.told(outcome.reason, outcome.number, outcome.character))
        return compiled.shape(outcome.values)

    async def _evaluated(self, program: Program, event: bytes, facts: dict[str, bytes]) -> Values | ExpressionFailed:
        if self._expressions is None:
            at = "/target/http/transform/jsonata"
            raise InvalidRule("found JSONata", wanted="a template: this bus was started without an evaluator", at=at)
        if self._tried >= limits.EXPRESSIONS_TRIED_MAX:
            raise Overloaded(f"found {self._tried} expressions waiting", wanted="to try again shortly")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()

        def done(outcome: Outcome) -> None:
            with contextlib.suppress(RuntimeError):  # Whoever asked is gone, and its loop with it.
                loop.call_soon_threadsafe(_resolve, future, outcome)

        self._tried += 1
        try:
            self._expressions.evaluate(TRYING, program.expressions, event, facts, done)
            outcome = await future
        finally:
            self._tried -= 1
        if isinstance(outcome, PutOff):
            raise Overloaded("found too many expressions waiting", wanted="to try again shortly")
        return outcome


def _resolve(future: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
