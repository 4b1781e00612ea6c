"""Looks for what takes a match long: rules and an event drawn by chance, then changed a little as long as that makes it worse.

A draw is a few choices (`CHOICES`) from which patterns within the limits and an event of a given size are written. Values are numbered, and a rule
asks for the first few of them, so that the choices say how often a field is right. Small events show the same as large ones, sooner: `--bytes 16384`.
"""

import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.matcher_worst.cases import Made, endless, filled, pattern
from benchmarks.matcher_worst.measuring import Figures, measured
from benchmarks.support.progress import announce
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.language import parse

Draw = dict[str, Any]

CAP_S = 8
TRIES = 10
"""Changes of a draw without a worse one among them after which another is drawn."""

DRAWN_MAX = 20_000
"""Entries of all lists of the rules: more are refused, or would be if it were one rule, and take long to write."""

FORMED = "\u0131"
"""A dotless i, which has several forms."""


class Values:
    """Values of one kind by number, as JSON spells them."""

    WORDS: dict[str, Callable[[int, int], str]] = {  # noqa: RUF012 - never changed
        "word": lambda number, length: f'"{"a" * min(length, 5)}{number}"',
        "long": lambda number, length: f'"{"a" * length}b{number}"',
        "letters": lambda number, length: f'"{FORMED * length}{number}"',
        "address": lambda number, _: f'"10.{number // 250 % 250}.{number % 250}.1"',
        "address of version 6": lambda number, _: f'"2001:db8::{number % 9_000}:0:1"',
        "integer": lambda number, _: str(number),
        "double": lambda number, _: f"{number}.25",
        "digits": lambda number, length: f"{number}.{'1' * min(length + 14, 600)}",
        "literal": lambda number, _: ("true", "null", "false")[number % 3],
    }


CHOICES: dict[str, tuple[Any, ...]] = {
    "rules": (1, 1, 1, 1, 20),
    "alternatives": (1, 1, 1, 2, 10, 300),
    "fields": (1, 2, 2, 3, 10, 100),
    "listed": (1, 1, 2, 10, 300),
    "operator": ("exact", "head", "tail", "any case", "head in any case", "wildcard", "numeric", "cidr", "but", "but wildcard", "absent"),
    "optional": (False, False, True),
    "path": (1, 1, 2, 3, 8, 30),
    "shape": ("scalars", "objects", "objects", "objects in arrays", "arrays in objects", "towers"),
    "depth": (1, 2, 5, 50),
    "dotted": (False, True),
    "value": tuple(Values.WORDS),
    "length": (1, 5, 30, 300, 5_000),
    "kinds": (1, 2, 2, 10, 1_000, 1_000_000),
    "shift": (0, 1, 1, 7),
}  # fmt: skip


def search(seconds: int, seed: int, size: int) -> None:
    """Prints every worst so far."""
    rng = random.Random(seed)
    until = time.monotonic() + seconds
    worst, tried = 0.0, 0
    while time.monotonic() < until:
        draw = {name: rng.choice(values) for name, values in CHOICES.items()}
        cost, found = costs(draw, size)
        tries = 0
        while tries < TRIES and time.monotonic() < until:
            changed = draw | {name: rng.choice(CHOICES[name]) for name in rng.sample(list(CHOICES), rng.choice((1, 1, 2, 3)))}
            other_cost, other = costs(changed, size)
            tries, tried = tries + 1, tried + 1
            if other_cost > cost * 1.05:
                draw, cost, found, tries = changed, other_cost, other, 0
            announce(f"{tried} tried, {cost:.3f} s, worst {worst:.3f}")
        if cost > worst * 0.3:
            announce("")
            print(
                f"{found.first_s:7.3f} {found.again_s:7.3f} s {found.memory_mb:5,.0f} MB {found.verdict:10} {draw}", flush=True
            )
        worst = max(worst, cost)
    print(f"{tried} tried")


def costs(draw: Draw, size: int) -> tuple[float, Figures]:
    """Seconds of one match, and the figures; nothing where the pattern is refused."""
    if draw["rules"] * draw["alternatives"] * draw["fields"] * draw["listed"] > DRAWN_MAX:
        return 0, Figures("refused", 0, 0)
    made = partial(write, draw, size)
    try:
        for text in made()[0][:1]:
            parse(text)
    except PatternTooCostly:
        return 0, Figures("refused", 0, 0)
    found = measured(made, CAP_S)
    return max(found.first_s, found.again_s), found


def write(draw: Draw, size: int) -> Made:
    return [rule(draw, number) for number in range(draw["rules"])], event(draw, size)


# The rules.


def rule(draw: Draw, number: int) -> str:
    names = ["v"] if draw["shape"] == "scalars" else [f"f{at}" for at in range(draw["fields"])]
    options = [{name: listed(draw, number + at) for name in names} for at in range(draw["alternatives"])]
    inner: dict[str, Any] = options[0] if len(options) == 1 else {"$or": options}
    for _ in range(draw["path"]):
        inner = {"x": inner}
    return pattern(inner)


def listed(draw: Draw, number: int) -> list[Any]:
    entries = [operator(draw, number + at) for at in range(draw["listed"])]
    return [*entries, {"exists": False}] if draw["optional"] else entries


def operator(draw: Draw, number: int) -> Any:  # noqa: C901, PLR0911 - one return for each operator
    value = json.loads(Values.WORDS[draw["value"]](number, draw["length"]))
    text = str(value)[:400]
    match draw["operator"]:
        case "exact":
            return value
        case "head":
            return {"prefix": text[: len(text) // 2]}
        case "tail":
            return {"suffix": text[len(text) // 2 :]}
        case "any case":
            return {"equals-ignore-case": text}
        case "head in any case":
            return {"prefix": {"equals-ignore-case": text}}
        case "wildcard":
            return {"wildcard": f"*{text[:3]}*{text[-3:]}*"}
        case "numeric":
            return {"numeric": [">=", number, "<", number + 0.5]}
        case "cidr":
            return {"cidr": f"10.{number // 250 % 250}.{number % 250}.0/24"}
        case "but":
            return {"anything-but": {"prefix": [text[:3] or "a", f"{text}x"]}}
        case "but wildcard":
            return {"anything-but": {"wildcard": [f"*{text[-2:]}*", f"*{number}*b"]}}
        case _:
            return {"exists": False}


# The event.


def event(draw: Draw, size: int) -> bytes:
    """Levels of objects as the path has them, the last of which is an array of elements."""
    dotted = '"x.v":0,"x.f0":0,' if draw["dotted"] else ""
    head, tail = '{"x":' * (draw["path"] - 1) + "{" + dotted + '"x":', "}" * draw["path"]
    brackets = min(draw["depth"], 60 - draw["path"]) if draw["shape"] == "objects in arrays" else 1
    return filled(size, endless(partial(element, draw)), head + "[" * brackets, "]" * brackets + tail)


def element(draw: Draw, number: int) -> str:
    match draw["shape"]:
        case "scalars":
            return (
                f'{{"v":[{spelled(draw, number)},{spelled(draw, number + 1)}]}}' if draw["depth"] > 1 else spelled(draw, number)
            )
        case "towers":
            depth = min(draw["depth"], 55 - draw["path"])
            return f"{'[' * depth}{object_of(draw, number, '{}')}{']' * depth}"
        case "arrays in objects":
            return object_of(draw, number, "[{},[{}]]")
        case _:
            return object_of(draw, number, "{}")


def object_of(draw: Draw, number: int, around: str) -> str:
    values = [around.replace("{}", spelled(draw, number + at * draw["shift"])) for at in range(draw["fields"])]
    return "{" + ",".join(f'"f{at}":{value}' for at, value in enumerate(values)) + "}"


def spelled(draw: Draw, number: int) -> str:
    return Values.WORDS[draw["value"]](number % draw["kinds"], draw["length"])
