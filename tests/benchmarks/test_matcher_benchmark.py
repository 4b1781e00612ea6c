"""The pieces of `benchmarks/matcher` that could be wrong without anybody seeing it in the figures."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks.matcher import editing, figures, report
from benchmarks.matcher.banks import BANKS, Bank, chosen
from benchmarks.matcher.checking import Wrong, check_by_evaluator, check_by_table, count, table_line
from benchmarks.matcher.figures import Building, Edits, Pace, Ratio, Run, Spread
from benchmarks.matcher.lots import BLOCKS, SEED, STREETS, Shape, corner, lots
from benchmarks.matcher.plot import drawing
from benchmarks.matcher.subject import built
from eventyard.core import strict_json

LOTS = {shape: lots(2_000, shape) for shape in Shape}
PROPERTIES = ["MAPBLKLOT", "BLKLOT", "BLOCK_NUM", "LOT_NUM", "FROM_ST", "TO_ST", "STREET", "ST_TYPE", "ODD_EVEN"]
every_shape = pytest.mark.parametrize("shape", Shape, ids=lambda shape: shape.value)


def features(shape: Shape) -> list[dict[str, Any]]:
    return [json.loads(line) for line in LOTS[shape]]


def points(value: Any) -> Iterator[Any]:
    """What stands innermost in arrays: objects, or arrays of numbers."""
    for each in value:
        if isinstance(each, dict) or not isinstance(each[0], (list, dict)):
            yield each
        else:
            yield from points(each)


# Lots


@pytest.mark.parametrize(
    ("shape", "digest"),
    [
        (Shape.ARRAYS, "70fc3e565e27a5d7"),
        (Shape.OBJECTS, "b984eaefc3a59452"),
    ],
)
def test_a_seed_gives_the_same_bytes_always(shape: Shape, digest: str) -> None:
    assert hashlib.sha256(b"\n".join(LOTS[shape])).hexdigest()[:16] == digest
    assert lots(3, shape) == LOTS[shape][:3]
    assert lots(3, shape, SEED + 1) != LOTS[shape][:3]


@every_shape
def test_a_lot_has_some_880_bytes(shape: Shape) -> None:
    assert 860 < sum(map(len, LOTS[shape])) / len(LOTS[shape]) < 900


@every_shape
def test_a_lot_is_a_feature_of_nine_strings_and_a_geometry(shape: Shape) -> None:
    for lot in features(shape):
        assert list(lot) == ["type", "properties", "geometry"]
        assert list(lot["properties"]) == PROPERTIES
        assert all(isinstance(value, str) for name, value in lot["properties"].items() if name != "ST_TYPE")
        assert (lot["properties"]["ST_TYPE"] is None) == (lot["properties"]["STREET"] == "UNKNOWN")


def test_a_lot_has_the_same_properties_in_every_shape() -> None:
    arrays, objects = (features(shape) for shape in Shape)
    assert [lot["properties"] for lot in arrays] == [lot["properties"] for lot in objects]


@every_shape
def test_a_ring_has_at_least_five_points_and_ends_where_it_began(shape: Shape) -> None:
    for lot in features(shape):
        ring = list(points(lot["geometry"]["coordinates"][0]))
        assert len(ring) >= 5
        assert ring[0] == ring[-1]


def test_the_first_point_stands_by_itself_once_more() -> None:
    for lot in features(Shape.OBJECTS):
        assert lot["geometry"]["firstCoordinates"] == next(points(lot["geometry"]["coordinates"]))


def test_coordinates_have_as_many_digits_as_a_double_needs() -> None:
    digits = [len(re.sub(r"\D", "", repr(corner(block, 0)[0]))) for block in range(BLOCKS)]
    assert sum(digits) / len(digits) > 16


@every_shape
def test_strict_ingest_takes_every_lot(shape: Shape) -> None:
    for line in LOTS[shape]:
        assert strict_json.decode(line)["type"] == "Feature"


def test_there_are_hundreds_of_streets_and_some_are_long() -> None:
    found = [lot["properties"]["STREET"] for lot in features(Shape.ARRAYS)]
    assert len(set(STREETS)) == len(STREETS) > 600
    assert found.count(STREETS[0]) > 10 > found.count(STREETS[-1])


# Banks


def test_a_bank_has_five_rules_and_all_together_45() -> None:
    together = {bank.name: len(bank.rules()) for bank in BANKS if bank.name.startswith("all")}
    assert {len(bank.rules()) for bank in BANKS if bank.name not in together} == {5}
    assert together == {"all but arrays (40 rules)": 40, "all together (45 rules)": 45}


@pytest.mark.parametrize("bank", BANKS, ids=lambda bank: bank.name)
def test_no_bank_measures_nothing(bank: Bank) -> None:
    for shape in bank.shapes:
        assert count(built(bank.rules()).match, LOTS[shape][:1_000])


def test_banks_are_chosen_by_a_part_of_their_names() -> None:
    assert [bank.name for bank in chosen(["numeric"])] == ["numeric", "numeric in nested arrays"]
    assert tuple(chosen([])) == BANKS


# Checking


@pytest.mark.parametrize(
    ("index", "names", "line"),
    [
        (0, [], "0\t0\tda39a3ee5e6b4b0d"),
        (221, ["r000847", "r000108", "r000392"], "221\t3\tb4bdb51d90493286"),
        (907, ["r000387", "r000406"], "907\t2\t5a7caa688df0e1ea"),
    ],
)
def test_a_line_of_matches_is_as_the_tables_of_the_other_engine_have_it(index: int, names: list[str], line: str) -> None:
    assert table_line(index, names) == line


def test_a_wrong_answer_is_found_by_the_evaluator() -> None:
    rules, lines = BANKS[1].rules(), LOTS[Shape.ARRAYS][:200]
    check_by_evaluator(built(rules).match, rules, lines)
    with pytest.raises(Wrong, match="missing"):
        check_by_evaluator(lambda _: [], rules, lines)


def test_a_wrong_answer_is_found_by_the_table(tmp_path: Path) -> None:
    table = tmp_path / "expected.tsv"
    table.write_text(table_line(0, ["a", "b"]) + "\n" + table_line(1, []) + "\n")
    right = {b"x": [2, 1], b"y": []}
    check_by_table(right.__getitem__, {1: "a", 2: "b"}, [b"x", b"y"], table)
    with pytest.raises(Wrong, match=r"wanted '1\\t0"):
        check_by_table({**right, b"y": [1]}.__getitem__, {1: "a", 2: "b"}, [b"x", b"y"], table)
    with pytest.raises(Wrong, match="found 1 events, wanted 2"):
        check_by_table(right.__getitem__, {1: "a", 2: "b"}, [b"x"], table)


# Editing


def test_edits_leave_the_rules_as_they_were(tmp_path: Path) -> None:
    rules = tmp_path / "rules.jsonl"
    texts = (json.dumps({"name": f"r{number}", "pattern": pattern}) for number, pattern in enumerate(BANKS[0].patterns))
    rules.write_text("\n".join(texts))
    standing, building = editing.build(rules, 4)
    lines = LOTS[Shape.ARRAYS][:50]
    before = [standing.subject.match(line) for line in lines]
    newcomer = BANKS[6].rules()[1]
    for is_new_path in (False, True):
        edits = editing.edit(standing, [newcomer] * 6, lines, is_new_path=is_new_path)
        assert {edits.add.times, edits.remove.times, edits.match_after_add.times} == {6}
        assert [standing.subject.match(line) for line in lines] == before
    assert building.rules == len(standing.patterns) == 4


# Reporting


def a_run() -> Run:
    spread = Spread(times=10, median_us=40, p99_us=900, max_us=1_500)
    fast = Ratio("exact", "arrays", 100, 5, 4, Pace(0.5, 0.6), Pace(2.9, 3.0), Pace(0.9, 1.0), (10, 0, 0, 0, 0))
    slow = Ratio("10,000 rules", "scale", 100, 10_000, 0.4, Pace(9, 10), Pace(2.9, 3.0), Pace(0.9, 1.0), (7,))
    free = Ratio("all but <arrays>", "objects", 100, 40, None, Pace(9, 10), Pace(2.9, 3.0), Pace(0.9, 1.0), (7,))
    return Run(
        machine="a machine",
        versions={"Python": "3.11"},
        day="2026-01-01",
        lines=100,
        rounds=3,
        load_before=0.1,
        load_after=0.2,
        banks=(fast, free),
        scales=(slow,),
        building=Building(10_000, 1.5, 2.5, 20, 10, 40),
        edits=(Edits(10_000, "known", spread, spread, spread, spread, spread),),
    )


def test_a_run_comes_back_from_its_file(tmp_path: Path) -> None:
    figures.write(a_run(), tmp_path / "run.json")
    assert figures.read(tmp_path / "run.json") == a_run()


def test_a_page_gets_its_figures_and_keeps_its_prose() -> None:
    page = f"# Title\n\nbefore\n\n{report.BEGINS}\nold\n{report.ENDS}\n\nafter\n"
    written = report.put_in(page, report.block(a_run(), "matcher"))
    assert written.startswith("# Title\n\nbefore\n\n")
    assert written.endswith(f"{report.ENDS}\n\nafter\n")
    assert "old" not in written
    assert "| exact | arrays | 1,666,667/s, 0.60 us | 0.50 us | 333,333/s, 3.00 us | 1.00 us | 5.00 | 4 | 0.1 |" in written
    assert (
        "| 10,000 rules | scale | 100,000/s, 10.00 us | 9.00 us | 333,333/s, 3.00 us | 1.00 us | **0.30** | 0.4 | 0.07 |"
        in written
    )
    assert "| added | 40 us | 900 us | 1.50 ms |" in written
    assert report.put_in(written, report.block(a_run(), "matcher")) == written


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match="without its marks"):
        report.put_in("# Title\n", "figures")


def test_a_drawing_has_a_bar_for_each_figure_and_a_mark_for_each_wish() -> None:
    root = ET.fromstring(drawing(a_run()))  # noqa: S314 - our own
    drawn = [element.get("class") for element in root.iter() if element.tag.endswith(("rect", "line"))]
    in_legend = ["bar", "short", "goal"]
    kinds = ("bar", "short", "free", "goal")
    assert sorted(kind for kind in drawn if kind in kinds) == sorted([*in_legend, "bar", "short", "free", "goal", "goal"])
    assert "all but <arrays>, objects" in [element.text for element in root.iter()]
