"""What a run found, as part of a page and as a drawing beside it.

    python -m benchmarks.matcher --json FILE
    python -m benchmarks.matcher.report FILE            docs/internals/matcher.md and .svg

Of the page only what stands between the two marks is written anew. The rest is somebody's prose.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.matcher import figures
from benchmarks.matcher.figures import Building, Edits, Ratio, Run, Spread
from benchmarks.matcher.plot import drawing

PAGE = Path(__file__).parents[2] / "docs" / "internals" / "matcher.md"
BEGINS = "<!-- written by benchmarks.matcher.report, from here -->"
ENDS = "<!-- to here -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what --json of the benchmark wrote")
    parser.add_argument("--page", type=Path, default=PAGE, help="a page with the marks; the drawing stands beside it, as .svg")
    options = parser.parse_args()
    run = figures.read(options.file)
    options.page.write_text(put_in(options.page.read_text(), block(run, options.page.stem)))
    options.page.with_suffix(".svg").write_text(drawing(run))


def put_in(page: str, written: str) -> str:
    """The page with `written` between its marks."""
    before, found_begin, rest = page.partition(BEGINS)
    _, found_end, after = rest.partition(ENDS)
    if not found_begin or not found_end:
        raise SystemExit(f"found a page without its marks, wanted a line {BEGINS} and one {ENDS}")
    return f"{before}{BEGINS}\n\n{written}\n{ENDS}{after}"


def block(run: Run, name: str) -> str:
    return "\n".join(_block(run, name))


def _block(run: Run, name: str) -> Iterator[str]:
    versions = ", ".join(f"{library} {version}" for library, version in run.versions.items())
    yield f"{run.day}, {run.machine}; {versions}. Load average {run.load_before:.1f} before and {run.load_after:.1f} after."
    yield f"Medians of {run.rounds} rounds of {run.lines:,} events each."
    yield ""
    yield f"![How many events a second are matched, as a multiple of orjson.loads]({name}.svg)"
    yield ""
    yield from _ratios("bank", run.banks)
    yield from _ratios("rules", run.scales)
    if run.building:
        yield from _building(run.building)
    yield from _edits(run.edits)


def _ratios(what: str, ratios: tuple[Ratio, ...]) -> Iterator[str]:
    if not ratios:
        return
    yield f"| {what} | events | ours | best | `orjson.loads` | reading nothing | multiple | wanted | matches per event |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for ratio in ratios:
        yield (
            f"| {ratio.name} | {ratio.events} | {ratio.ours.per_s:,.0f}/s, {ratio.ours.median_us:.2f} us | {ratio.ours.best_us:.2f} us | "
            f"{ratio.loads.per_s:,.0f}/s, {ratio.loads.median_us:.2f} us | {ratio.nothing.median_us:.2f} us | {_times(ratio)} | "
            f"{'' if ratio.goal is None else f'{ratio.goal:g}'} | {sum(ratio.matches) / ratio.lines:.2g} |"
        )
    yield ""


def _times(ratio: Ratio) -> str:
    """In bold what is not reached."""
    return f"{ratio.times:.2f}" if ratio.is_reached else f"**{ratio.times:.2f}**"


def _building(building: Building) -> Iterator[str]:
    yield (
        f"{building.rules:,} rules, one added after the other in a fresh process: {building.build_s:.1f} s, and {building.parse_s:.1f} s "
        f"to parse them. They take {building.patterns_mb + building.index_mb:.0f} MB, of which {building.patterns_mb:.0f} MB are the parsed "
        f"patterns; {building.peak_mb:.0f} MB at the highest moment."
    )
    yield ""


def _edits(edits: tuple[Edits, ...]) -> Iterator[str]:
    if not edits:
        return
    yield f"| one rule among {edits[0].rules:,} | p50 | p99 | most |"
    yield "| --- | ---: | ---: | ---: |"
    for each in edits:
        paths = "" if each.paths == "known" else ", on a path that no rule had"
        yield _spread(f"added{paths}", each.add)
        yield _spread(f"the first event after that{paths}", each.match_after_add)
        yield _spread(f"removed{paths}", each.remove)
        yield _spread(f"the first event after that{paths}", each.match_after_remove)
    yield _spread("an event with no edit before it", edits[0].usual)
    yield ""


def _spread(what: str, spread: Spread) -> str:
    return f"| {what} | {_time(spread.median_us)} | {_time(spread.p99_us)} | {_time(spread.max_us)} |"


def _time(microseconds: float) -> str:
    return f"{microseconds / 1e3:.2f} ms" if microseconds >= 1e3 else f"{microseconds:.0f} us"


if __name__ == "__main__":
    main()
