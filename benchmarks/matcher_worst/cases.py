"""The worst that was found, by hand and by search: for each what it is about, its rules, and its event of nearly the largest size."""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Made = tuple[list[str], bytes]
"""Patterns and an event."""


class Case(NamedTuple):
    about: str
    make: Callable[[int, int], Made]
    """From the bytes that the event may have and the rules that a bus may have."""


def pattern(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def filled(budget: int, elements: Iterable[str], head: str = '{"x":[', tail: str = "]}") -> bytes:
    """As many of the elements as fit."""
    taken, left = [], budget - len(head) - len(tail)
    for element in elements:
        left -= len(element.encode()) + 1
        if left < 0:
            break
        taken.append(element)
    return (head + ",".join(taken) + tail).encode()


def endless(write: Callable[[int], str]) -> Iterable[str]:
    number = 0
    while True:
        yield write(number)
        number += 1


def texts(budget: int) -> bytes:
    return filled(budget, endless(lambda number: f'"b{number:05}"'))


def one(document: dict[str, Any], event: Callable[[int], bytes]) -> Callable[[int, int], Made]:
    return lambda budget, _: ([pattern(document)], event(budget))


def each(document: Callable[[int], dict[str, Any]], event: Callable[[int], bytes]) -> Callable[[int, int], Made]:
    return lambda budget, rules: ([pattern(document(number)) for number in range(rules)], event(budget))


def numbers(spell: Callable[[int], str]) -> Callable[[int], bytes]:
    return lambda budget: filled(budget, endless(spell))


def objects(spell: Callable[[int], str], head: str = '{"i":[', tail: str = "]}") -> Callable[[int], bytes]:
    return lambda budget: filled(budget, endless(spell), head, tail)


def apart(number: int) -> str:
    return '{"a":1,"b":0}' if number % 2 else '{"a":0,"b":1}'


def deep(levels: int, leaf: str) -> Callable[[int], bytes]:
    return lambda budget: filled(budget, endless(lambda _: "[" * levels + leaf + "]" * levels))


def pigeons(budget: int) -> bytes:
    """Twelve arrays that a field may stand in, for keys hold dots, each with elements for every field."""
    steps = ["a"] * 12

    def array(at: int) -> str:
        elements = endless(lambda number: pattern({".".join([*steps[at + 1 :], f"p{number % 13}"]): 1}))
        return filled(budget // 12 - 30, elements, "[", "]").decode()

    arrays = map(array, range(12))
    return ("{" + ",".join(f'"{".".join(steps[: at + 1])}":{array_}' for at, array_ in enumerate(arrays)) + "}").encode()


ROWS = '{{"sku":"s{0:05}","n":{1}}}'

CASES: dict[str, Case] = {
    "texts, one prefix": Case("an array of short texts", one({"x": [{"prefix": "a"}]}, texts)),
    "digits, one prefix": Case("half a million elements", one({"x": [{"prefix": "a"}]}, numbers(lambda _: "0"))),
    "empty arrays": Case("a third of a million arrays", one({"x": [{"prefix": "a"}]}, numbers(lambda _: "[]"))),
    "arrays 60 deep": Case("eight thousand towers", one({"x": [{"prefix": "a"}]}, deep(60, ""))),
    "doubles, one bound": Case("doubles in no range", one({"x": [{"numeric": ["<", -5]}]}, numbers(lambda n: f"{n}.5"))),
    "doubles to be looked at again": Case(
        "16 digits each, in a range", one({"x": [{"numeric": [">", -5]}]}, numbers(lambda n: f"{n + 1000}.123456789012"))
    ),
    "long numbers": Case("640 characters each", one({"x": [{"numeric": ["<", -5]}]}, numbers(lambda n: "1." + f"{n:0638}"))),
    "texts, 1,000 prefixes": Case("looked up", one({"x": [{"prefix": f"a{n:03}"} for n in range(1_000)]}, texts)),
    "texts, prefixes of 340 lengths": Case(
        "looked up by length",
        one(
            {"x": [{"prefix": "a" * n} for n in range(1, 340)]},
            lambda budget: filled(budget, endless(lambda n: f'"{"a" * 300}{n:05}"')),
        ),
    ),
    "texts, 500 wildcards without ends": Case(
        "each asked about each", one({"x": [{"wildcard": f"*a{n:03}*"} for n in range(500)]}, texts)
    ),
    "texts, anything but 500 wildcards": Case(
        "each asked about each", one({"x": [{"anything-but": {"wildcard": [f"*a{n:03}*" for n in range(500)]}}]}, texts)
    ),
    "texts, 1,000 times any case of a letter with forms": Case(
        "each asked about each", one({"x": [{"equals-ignore-case": f"b\u0131{n:03}"} for n in range(1_000)]}, texts)
    ),
    "one long text, 200 wildcards": Case(
        "200 passes over a megabyte",
        one(
            {"x": [{"wildcard": f"*{'a' * 60}b{n}*b*c*d*"} for n in range(200)]},
            lambda budget: filled(budget, ['"' + "a" * (budget - 20) + '"']),
        ),
    ),
    "one long text in any case": Case(
        "read letter by letter",
        one(
            {"x": [{"prefix": {"equals-ignore-case": "ßss" * 10_000}}]},
            lambda budget: filled(budget, ['"' + "ßss" * (budget // 5) + '"']),
        ),
    ),
    "addresses, 200 ranges": Case(
        "80,000 addresses are read",
        one({"x": [{"cidr": f"10.0.{n}.0/24"} for n in range(200)]}, numbers(lambda n: f'"1.{n // 250 % 250}.{n % 250}.1"')),
    ),
    "objects, two fields apart": Case("right, but never in one object", one({"i": {"a": [1], "b": [1]}}, objects(apart))),
    "objects, two fields apart, beside a key with a dot": Case(
        "the evaluator judges", one({"i": {"a": [1], "b": [1]}}, objects(apart, '{"i.a":0,"i":['))
    ),
    "doubles, 300 ranges, beside a key with a dot": Case(
        "the evaluator asks each about each",
        one(
            {"x": {"a": [{"numeric": [">=", n, "<", n + 0.5]} for n in range(300)], "b": [{"exists": True}]}},
            objects(lambda n: f'{{"a":{n % 300}.25}},{{"b":1}}', '{"x.a":0,"x":['),
        ),
    ),
    "objects in an array in an array": Case(
        "the evaluator judges",
        one({"i": {"j": {"a": [1], "b": [1]}}}, objects(apart, '{"i":[{"j":[', "]}]}")),
    ),
    "objects 60 arrays deep, beside a key with a dot": Case(
        "places have 60 steps",
        one({"i": {"a": [1], "b": [1]}}, objects(apart, '{"i.a":0,"i":' + "[" * 60, "]" * 60 + "}")),
    ),
    "objects, a field that must be absent": Case(
        "present in every one", one({"i": {"a": [1], "b": [{"exists": False}]}}, objects(lambda _: '{"a":1,"b":0}'))
    ),
    "objects, 300 optional fields": Case(
        "each right in no object",
        one(
            {"i": {"j": {f"f{n}": [2, {"exists": False}] for n in range(300)}}},
            objects(lambda _: pattern({f"f{n}": 2 + n // 299 for n in range(300)}), '{"i":[{"j":[', "]}]}"),
        ),
    ),
    "objects, 1,000 alternatives of other fields": Case(
        "none of the fields is there", one({"i": {"$or": [{f"f{n}": [1]} for n in range(1_000)]}}, objects(lambda _: '{"a":1}'))
    ),
    "objects, 1,000 alternatives of two fields apart": Case(
        "each alternative goes through all objects",
        one(
            {"i": {"$or": [{"f": [n], "g": [n]} for n in range(1_000)]}},
            objects(lambda n: f'{{"f":{n % 1_000},"g":{(n + 1) % 1_000}}}'),
        ),
    ),
    "fields in overlapping arrays": Case(
        "twelve arrays overlap by dotted keys",
        one({".".join(["a"] * 12 + [f"p{n}"]): [1] for n in range(13)}, pigeons),
    ),
    "a bus: texts, a wildcard without ends each": Case(
        "each asked about each", each(lambda n: {"x": [{"wildcard": f"*a{n:05}*"}]}, texts)
    ),
    "a bus: texts, a prefix each": Case("looked up", each(lambda n: {"x": [{"prefix": f"a{n:05}"}]}, texts)),
    "a bus: doubles, a range each": Case(
        "one bisection each",
        each(lambda n: {"x": [{"numeric": [">=", n, "<", n + 0.5]}]}, numbers(lambda n: f"{n % 20_000}.7")),
    ),
    "a bus: items, a sku and a number each": Case(
        "every rule's sku is there, with another number",
        each(
            lambda n: {"i": {"sku": [f"s{n:05}"], "n": [{"numeric": [">=", 2]}]}},
            objects(lambda n: ROWS.format(n, 1), '{"i":[{"sku":"","n":2},'),
        ),
    ),
    "a bus: items, beside a key with a dot": Case(
        "the evaluator judges every rule",
        each(
            lambda n: {"i": {"sku": [f"s{n:05}"], "n": [{"numeric": [">=", 2]}]}},
            objects(lambda n: ROWS.format(n, 1), '{"i.sku":"","i":[{"sku":"","n":2},'),
        ),
    ),
    "a bus: two fields, beside a key with a dot": Case(
        "an event of no size, judged by the evaluator for every rule",
        lambda _, rules: (
            [pattern({"type": [{"prefix": "a"}], "i": {"n": [n, 1]}}) for n in range(rules)],
            b'{"type":"ab","i.n":0,"i":{"n":1}}',
        ),
    ),
    "a bus: fields of their own": Case(
        "each rule's path is another",
        each(lambda n: {f"f{n}": {"a": [1]}}, lambda budget: filled(budget, endless(lambda n: f'"f{n}":{{"a":0}}'), "{", "}")),
    ),
    "a bus: fields of their own in objects of an array": Case(
        "each rule's path is another, in every object",
        each(lambda n: {"i": {f"f{n}": [1]}}, objects(lambda n: f'{{"f{n}":0}}')),
    ),
    "a bus: fields of their own in objects of an array, beside a key with a dot": Case(
        "each path is looked for by the evaluator's way",
        each(lambda n: {"i": {f"f{n}": [1]}}, objects(lambda n: f'{{"f{n}":0}}', '{"i.f0":0,"i":[')),
    ),
    "a bus: fields in overlapping arrays": Case(
        "twelve arrays overlap, for every rule",
        each(lambda n: {".".join(["a"] * 12 + [f"p{at}"]): [1, f"r{n}"] for at in range(13)}, pigeons),
    ),
    "a bus: addresses, a range each": Case(
        "80,000 addresses are read by every block",
        each(
            lambda n: {"x": [{"cidr": f"10.{n // 250}.{n % 250}.0/24"}]}, numbers(lambda n: f'"1.{n // 250 % 250}.{n % 250}.1"')
        ),
    ),
    "a bus: one long text, five wildcards each": Case(
        "50,000 passes over a megabyte",
        each(
            lambda n: {"x": [{"wildcard": f"*{'a' * 60}b{n}x{at}*"} for at in range(5)]},
            lambda budget: filled(budget, ['"' + "a" * (budget - 20) + '"']),
        ),
    ),
    "a bus: texts that begin alike, five wildcards each": Case(
        "each asked about each, though each has a beginning",
        each(lambda n: {"x": [{"wildcard": f"b*{n}x{at}*"} for at in range(5)]}, texts),
    ),
    "a bus: texts, prefixes of 300 lengths each": Case(
        "all lengths are looked up for each text by each of a thousand nodes",
        each(
            lambda n: {"k": [n // 6], "x": [{"prefix": "a" * length + str(n)} for length in range(1, 301)]},
            lambda budget: filled(
                budget - 10_000,
                endless(lambda n: f'"{"a" * 300}{n:05}"'),
                '{"k":[' + ",".join(map(str, range(1_700))) + '],"x":[',
            ),
        ),
    ),
    "a bus: arrays in an array, looked at by a thousand nodes": Case(
        "half a million elements inside one",
        each(
            lambda n: {"k": [n // 6], "x": [{"prefix": f"a{n}"}]},
            lambda budget: filled(
                budget - 10_000, endless(lambda _: "0"), '{"k":[' + ",".join(map(str, range(1_700))) + '],"x":[[', "]]}"
            ),
        ),
    ),
    "a bus: an array filed below another's every element": Case(
        "a thousand nodes look for each element of a long array",
        each(
            lambda n: {"k": [n // 10], "x": [f"x{n}"]},
            lambda budget: filled(
                budget - 10_000, endless(lambda n: f'"y{n}"'), '{"k":[' + ",".join(map(str, range(1_000))) + '],"x":['
            ),
        ),
    ),
    "a bus: a long array in the one object of an array": Case(
        "looked at again for every rule that could match",
        each(
            lambda n: {"i": {"a": [{"anything-but": f"a{n}"}], "b": [{"prefix": f"b{n % 10}"}]}},
            lambda budget: filled(
                budget - 100,
                endless(lambda n: f'"c{n}"'),
                '{"i":[{"b":["b0","b1","b2","b3","b4","b5","b6","b7","b8","b9"]},{"a":[',
                "]}]}",
            ),
        ),
    ),
}
