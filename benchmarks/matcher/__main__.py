"""Which rules match? How often a second one thread can answer that, as a multiple of what `orjson.loads` does on the same lines.

    python -m benchmarks.matcher                       everything, some ten minutes
    python -m benchmarks.matcher --bank numeric        the banks whose name contains this
    python -m benchmarks.matcher --part scale --scales 1000,10000
    python -m benchmarks.matcher --json FILE           and python -m benchmarks.matcher.report FILE makes a page of it

Banks of five rules each, as the published benchmark of event-ruler has them, on lots of a city that are made up (`lots`); up to
100,000 rules of another shape (`scale`); building and editing those (`editing`). Every figure is checked before it is
taken, in turns with `orjson.loads`, and counted in processor time of the one thread.
"""

import argparse
import os
from pathlib import Path

from benchmarks.matcher import editing, figures, scale, workload
from benchmarks.matcher.banks import Bank, chosen
from benchmarks.matcher.checking import Wrong, check_by_evaluator, count
from benchmarks.matcher.figures import Building, Edits, Ratio, Run
from benchmarks.matcher.lots import Shape, lots
from benchmarks.matcher.subject import built
from benchmarks.matcher.turns import in_turns
from benchmarks.support.progress import announce

PARTS = ("banks", "scale", "edits")
JUDGED_ONE_IN = 10
"""Of the lines of a bank the evaluator is asked about these."""


def main() -> None:
    options = _options()
    load_before = os.getloadavg()[0]
    print(f"{figures.machine()}; load average {load_before:.1f}", flush=True)
    banks = (
        tuple(ratio for bank in chosen(options.bank) for ratio in measured(bank, options)) if "banks" in options.part else ()
    )
    scales, building, edits = many_rules(options)
    run = Run(
        machine=figures.machine(),
        versions=figures.versions(),
        day=figures.today(),
        lines=options.lines,
        rounds=options.rounds,
        load_before=load_before,
        load_after=os.getloadavg()[0],
        banks=banks,
        scales=scales,
        building=building,
        edits=edits,
    )
    if options.json:
        figures.write(run, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may stand several times")
    parser.add_argument(
        "--bank", action="append", default=[], help="only banks whose name contains this; may stand several times"
    )
    parser.add_argument("--lines", type=int, default=20_000, help="events")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scales", default="1000,10000,100000", help="numbers of rules, with commas")
    parser.add_argument("--edits", type=int, default=1_000, help="edits of the largest of them")
    parser.add_argument("--scale-folder", help="where gen_scale.py and its expected results stand")
    parser.add_argument("--json", type=Path, help="a file for what was found")
    options = parser.parse_args()
    options.part = options.part or (["banks"] if options.bank else PARTS)
    return options


def measured(bank: Bank, options: argparse.Namespace) -> list[Ratio]:
    return [_measured(bank, shape, options.lines, options.rounds) for shape in bank.shapes]


def _measured(bank: Bank, shape: Shape, events: int, rounds: int) -> Ratio:
    told = f"{bank.name}, {shape.value}"
    announce(f"{told}: checking")
    rules, lines = bank.rules(), lots(events, shape)
    match = built(rules).match
    check_by_evaluator(match, rules, lines[::JUDGED_ONE_IN])
    matches = count(match, lines)
    if not matches:
        raise Wrong(f"found no event that a rule of the bank {bank.name!r} matches: it would measure nothing")
    ours, loads, nothing = in_turns(match, lines, rounds, told)
    ratio = Ratio(
        bank.name, shape.value, len(lines), len(rules), bank.goal, ours, loads, nothing, tuple(matches[key] for key in rules)
    )
    show(ratio)
    return ratio


def many_rules(options: argparse.Namespace) -> tuple[tuple[Ratio, ...], Building | None, tuple[Edits, ...]]:
    if not {"scale", "edits"} & set(options.part):
        return (), None, ()
    folder = workload.found_folder(options.scale_folder)
    if folder is None:
        print("rule scale is left out: found no gen_scale.py (see --scale-folder)", flush=True)
        return (), None, ()
    sizes = [int(size) for size in options.scales.split(",")]
    with workload.generated(folder) as load:
        ratios = [scale.measure(load, size, options.lines, options.rounds) for size in sizes] if "scale" in options.part else []
        for ratio in ratios:
            show(ratio)
        if "edits" not in options.part:
            return tuple(ratios), None, ()
        told = editing.asked(load, max(sizes), options.edits)
    tell(told)
    return tuple(ratios), told.building, told.edits


def show(ratio: Ratio) -> None:
    announce("")
    wanted = "" if ratio.goal is None else f"   wanted {ratio.goal:g}"
    print(
        f"{ratio.name:36} {ratio.events:8} ours {ratio.ours.per_s:>11,.0f} events/s {ratio.ours.median_us:7.2f} us   "
        f"orjson.loads {ratio.loads.per_s:>11,.0f} events/s {ratio.loads.median_us:5.2f} us   reading nothing {ratio.nothing.median_us:5.2f} us   ratio {ratio.times:5.2f}{wanted}   "
        f"matches {' '.join(map(str, ratio.matches)) if len(ratio.matches) < 10 else sum(ratio.matches)}",
        flush=True,
    )


def tell(told: editing.Told) -> None:
    announce("")
    building = told.building
    print(
        f"{building.rules:,} rules built in {building.build_s:.1f} s after {building.parse_s:.1f} s of parsing; "
        f"{building.index_mb:.0f} MB after {building.patterns_mb:.0f} MB of patterns, {building.peak_mb:.0f} MB at its highest"
    )
    for edits in told.edits:
        for what in ("add", "match_after_add", "remove", "match_after_remove", "usual"):
            spread: figures.Spread = getattr(edits, what)
            name = f"{what.replace('_', ' ')}, {edits.paths} paths"
            print(
                f"{name:32} p50 {spread.median_us:10,.1f} us   p99 {spread.p99_us:10,.1f} us   most {spread.max_us:10,.1f} us"
            )


if __name__ == "__main__":
    main()
