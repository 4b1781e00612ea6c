"""A drawing of a run: a bar for each bank and number of rules, from 0, beside a mark at what is wanted.

Written with the standard library's ElementTree. A library for charts draws more kinds of them, but paints the colours in: here
style sheets within the file ask the reader's browser whether it is light or dark, text stays text, and the file is a few
kilobytes that change by lines. Twenty bars are not worth ten packages.
"""

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from benchmarks.matcher.figures import Ratio, Run

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.note, .tick { font-size: 12px; fill: #59636e }
.value { font-weight: 600; font-variant-numeric: tabular-nums }
.line { stroke: #d8dee4 } .one { stroke: #8c959f; stroke-dasharray: 3 3 }
.bar { fill: #2f6fbb } .short { fill: #b4602a } .free { fill: #8c959f } .goal { stroke: #1f2328; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note, .tick { fill: #9198a1 }
  .line { stroke: #3d444d } .one { stroke: #757f8a }
  .bar { fill: #539bf5 } .short { fill: #d98b55 } .free { fill: #757f8a } .goal { stroke: #f0f6fc }
}
"""
WIDTH = 870
_LEFT, _RIGHT = 310, 800
_ROW, _BAR = 26, 15
_FIGURE = 48
_SVG = "http://www.w3.org/2000/svg"


def drawing(run: Run) -> str:
    """SVG. One panel for what is wanted faster than `orjson.loads`, one for what may be slower; each from 0 and with its own scale."""
    ET.register_namespace("", _SVG)
    root = ET.Element(f"{{{_SVG}}}svg", {"role": "img", "width": str(WIDTH)})
    ET.SubElement(root, f"{{{_SVG}}}title").text = "How many events a second are matched, as a multiple of orjson.loads"
    ET.SubElement(root, f"{{{_SVG}}}style").text = _STYLE
    ratios = (*run.banks, *run.scales)
    panels = (
        ("Five rules of one kind", [ratio for ratio in ratios if (ratio.goal or 0) > 1]),
        ("Coordinates in arrays, many kinds together, many rules", [ratio for ratio in ratios if (ratio.goal or 0) <= 1]),
    )
    _text(root, 20, 30, "Matching, as a multiple of the speed of orjson.loads on the same events", "title")
    bottom = 50.0
    _legend(root, bottom)
    for heading, rows in panels:
        if rows:
            bottom = _panel(root, bottom + 40, heading, rows)
    root.set("height", _number(bottom + 14))
    root.set("viewBox", f"0 0 {WIDTH} {_number(bottom + 14)}")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _legend(root: ET.Element, y: float) -> None:
    at = 20
    for kind, said, width in (("bar", "reached", 90), ("short", "not reached", 110)):
        _shape(root, "rect", {"x": at, "y": y - 10, "width": 12, "height": 12, "rx": 2}, kind)
        _text(root, at + 18, y, said, "note")
        at += width
    _shape(root, "line", {"x1": at + 6, "x2": at + 6, "y1": y - 12, "y2": y + 3}, "goal")
    _text(root, at + 16, y, "wanted", "note")
    _text(root, at + 90, y, "one thread, processor time; arrays and objects are two shapes of the same events", "note")


def _panel(root: ET.Element, top: float, heading: str, rows: Sequence[Ratio]) -> float:
    """Draws it and says where it ends."""
    end, step = _axis(max(max(ratio.times, ratio.goal or 0) for ratio in rows))
    unit = (_RIGHT - _LEFT) / end
    _text(root, 20, top, heading, "title")
    first = top + 30
    last = first + _ROW * len(rows)
    for number in range(round(end / step) + 1):
        x = _LEFT + number * step * unit
        _shape(root, "line", {"x1": x, "x2": x, "y1": first - 8, "y2": last - 6}, "one" if number * step == 1 else "line")
        _text(root, x, first - 13, f"{number * step:g}x", "tick", anchor="middle")
    for number, ratio in enumerate(rows):
        _bar(root, first + _ROW * number, unit, ratio)
    return last


def _bar(root: ET.Element, y: float, unit: float, ratio: Ratio) -> None:
    shape = "" if ratio.events == "scale" else f", {ratio.events}"
    _text(root, _LEFT - 12, y + 12, f"{ratio.name}{shape}", anchor="end")
    kind = ("bar" if ratio.is_reached else "short") if ratio.goal else "free"
    _shape(root, "rect", {"x": _LEFT, "y": y, "width": max(ratio.times * unit, 1), "height": _BAR, "rx": 2}, kind)
    goal = ratio.goal or 0
    if goal:
        x = _LEFT + goal * unit
        _shape(root, "line", {"x1": x, "x2": x, "y1": y - 3, "y2": y + _BAR + 3}, "goal")
    ends = ratio.times * unit
    if 0 <= goal * unit - ends < _FIGURE:
        ends = goal * unit  # The mark would run through the figure.
    _text(root, _LEFT + ends + 8, y + 12, f"{ratio.times:.2f}", "value")


def _axis(most: float) -> tuple[float, float]:
    """Where an axis ends that holds `most`, and the step between its lines: 1, 2 or 5 times a power of ten, at most six of them."""
    power = 10 ** math.floor(math.log10(most))
    step = next(step for step in (power * factor for factor in (0.1, 0.2, 0.5, 1, 2)) if most / step <= 6)
    return math.ceil(most / step - 1e-9) * step, step


def _text(root: ET.Element, x: float, y: float, said: str, kind: str = "", *, anchor: str = "start") -> None:
    attributes = {"x": _number(x), "y": _number(y), **({"class": kind} if kind else {})}
    if anchor != "start":
        attributes["text-anchor"] = anchor
    ET.SubElement(root, f"{{{_SVG}}}text", attributes).text = said


def _shape(root: ET.Element, name: str, attributes: dict[str, float], kind: str) -> None:
    ET.SubElement(root, f"{{{_SVG}}}{name}", {key: _number(value) for key, value in attributes.items()} | {"class": kind})


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
