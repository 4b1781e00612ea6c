"""`python -m tests.simulation`: play seeds one after another, and show how to play again the one that failed."""

import argparse
import logging
import sys
import time

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import Outcome, run


def main() -> int:
    arguments = _arguments()
    logging.disable(logging.CRITICAL)
    if arguments.find:
        return _find()
    mutant = MUTANTS[arguments.mutant] if arguments.mutant else Mutant()
    began = time.monotonic()
    totals = [0, 0, 0]
    with mutant.patch():
        for count in range(1, arguments.seeds + 1):
            outcome = run(arguments.seed + count - 1, arguments.steps, arguments.engine, mutant.parts)
            if outcome.failure:
                return _fail(outcome, arguments)
            totals = [totals[0] + outcome.acknowledged, totals[1] + outcome.handed, totals[2] + outcome.lives]
            _show(count, arguments.seeds, totals, outcome, time.monotonic() - began)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The whole house, simulated from a seed.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another (default 1)")
    parser.add_argument("--steps", type=int, default=400, help="acts in each story (default 400)")
    parser.add_argument("--engine", choices=["memory", "sqlite", "journal"], default="sqlite")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break one promise on purpose; this must fail")
    parser.add_argument(
        "--find", action="store_true", help="print KNOWN_SEEDS of mutants.py as they are for the story of today"
    )
    return parser.parse_args()


FOUND_STEPS, FOUND_SEEDS_MAX, FOUND_AT_ONCE = 200, 400, 3
"""As the test of mutants looks for them, and the seeds for which no hint is needed."""


def _find() -> int:
    """The first seed that fails on a mutant with each engine on which it shows."""
    for name, mutant in sorted(MUTANTS.items()):
        with mutant.patch():
            failing = (
                seed
                for seed in range(FOUND_SEEDS_MAX)
                if all(run(seed, FOUND_STEPS, engine, mutant.parts).failure for engine in mutant.engines)
            )
            seed = next(failing, None)
        if seed is None or seed > FOUND_AT_ONCE:
            print(f'        "{name}": {seed},', flush=True)  # noqa: T201
    return 0


def _show(count: int, seeds: int, totals: list[int], outcome: Outcome, took_s: float) -> None:
    if count % 50 and count != seeds:
        return
    text = f"{count} of {seeds} seeds kept every promise: {totals[0]} acknowledged, {totals[1]} deliveries handed out, {totals[2]} lives"
    print(f"{text}; {took_s:.1f} s; digest of seed {outcome.seed}: {outcome.digest}", flush=True)  # noqa: T201


def _fail(outcome: Outcome, arguments: argparse.Namespace) -> int:
    mutant = f" --mutant {arguments.mutant}" if arguments.mutant else ""
    print("\n".join(outcome.trace))  # noqa: T201
    print(f"\nseed {outcome.seed} broke a promise:\n{outcome.failure}")  # noqa: T201
    again = f"--seed {outcome.seed} --steps {arguments.steps} --engine {arguments.engine}{mutant}"
    print(f"again with: python -m tests.simulation {again}")  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
