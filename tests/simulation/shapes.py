"""Transforms: how rules shape what they push, how the audit would, and an evaluator of expressions that may take its time, put off, or fail.

A shape is named in the address of its target. The evaluator knows the few expressions that stand here, and answers them by Python: what JSONata means is
tried elsewhere, here it is what becomes of a delivery whose request takes a while to be made, or cannot be.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from eventyard.ports import ExpressionFailed, Outcome, PushRequest, PutOff, Values
from tests.simulation.books import Books, BrokenPromise
from tests.simulation.world import World

SHAPES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "t-order": {
            "template": {
                "paths": {"n": "data.n", "key": "data.key", "type": "type", "delivery": "@delivery"},
                "body": {"number": "<n>", "key": "<key>", "text": "no. <n>"},
                "headers": {"x-type": "<type>", "x-delivery": "<delivery>"},
                "path": "/of/<n>",
            }
        },
        "t-form": {
            "template": {
                "paths": {"kind": "data.kind", "key": {"path": "data.key", "default": "none"}},
                "body": {"kind": "<kind>"},
                "content_type": "application/x-www-form-urlencoded",
                "path": "/<key>",
                "query": {"kind": "<kind>"},
            }
        },
        "t-kind": {"jsonata": {"body": "data", "path": "data.kind", "headers": {"x-type": "type"}}},
    }
)

EVALUATED = frozenset({"t-kind"})
"""Those that take a while."""

Made = tuple[str, list[tuple[str, str]], dict[str, str], Any]
"""Path, query, headers and body."""


def made(shape: str, event: Any, delivery: str) -> Made | None:
    """The request that a shape has to make of an event; None where it cannot be made. Read by these lines alone."""
    data = event.get("data") if isinstance(event.get("data"), dict) else {}
    match shape:
        case "t-order" if "n" in data and "key" in data:
            body = {"number": data["n"], "key": data["key"], "text": f"no. {data['n']}"}
            return f"/of/{data['n']}", [], {"x-type": event["type"], "x-delivery": delivery}, body
        case "t-form" if "kind" in data and (key := _segment(data.get("key", "none"))):
            return f"/{key}", [("kind", data["kind"])], {}, [("kind", data["kind"])]
        case "t-kind" if "kind" in data:
            return f"/{data['kind']}", [], {"x-type": event["type"]}, data
    return None


def _segment(value: Any) -> str:
    """Empty for what cannot be one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def shape_of(url: str) -> str:
    """The shape that an address names; empty where none."""
    return next((part for part in url.split("/") if part in SHAPES), "")


def check(request: PushRequest, event: bytes, delivery: str) -> None:
    """A push is the whole of what its rule's transform makes of the event, and no part of it."""
    shape, parts = shape_of(request.url), urlsplit(request.url)
    wanted = made(shape, json.loads(event), delivery)
    if wanted is None:
        raise BrokenPromise(f"a request was made of an event that {shape} has none for: {request}")
    path, query, headers, body = wanted
    is_form = "form" in dict(request.headers)["content-type"]
    found = (
        unquote(parts.path.partition(shape)[2]),
        parse_qsl(parts.query),
        {name: value for name, value in request.headers if name.startswith("x-")},
        parse_qsl(request.body.decode()) if is_form else json.loads(request.body),
    )
    if found != (path, query, headers, body):
        raise BrokenPromise(f"{shape} makes {wanted} of an event, and sent was {found}")


class Evaluator:
    """`ports.Expressions` in the world's time."""

    def __init__(self, world: World, books: Books) -> None:
        self._world = world
        self._books = books
        self.is_healed = False

    def evaluate(
        self,
        who: Hashable,
        expressions: tuple[str, ...],
        event: bytes,
        facts: Mapping[str, bytes],  # noqa: ARG002 - as the port has it
        done: Callable[[Outcome], None],
    ) -> None:
        outcome = self._outcome(who, expressions, event)
        self._world.note(f"evaluated for {who}: {type(outcome).__name__}")
        delay_ms = self._world.rng.choice((0, 0, 100, 2_000))
        self._world.later(delay_ms, lambda: done(outcome))

    def _outcome(self, who: Hashable, expressions: Sequence[str], event: bytes) -> Outcome:
        chance = 1.0 if self.is_healed else self._world.rng.random()
        if chance < 0.1:
            return PutOff()
        if chance < 0.2:
            self._books.unshaped.add((who, event))
            return ExpressionFailed("took more than it may", 0)
        document = json.loads(event)
        return Values(tuple(_value(document, expression) for expression in expressions))

    def close(self) -> None:
        """What is under way dies with the world's agenda."""


def _value(document: Any, path: str) -> bytes | None:
    for step in path.split("."):
        document = document.get(step) if isinstance(document, dict) else None
    return None if document is None else json.dumps(document).encode()
