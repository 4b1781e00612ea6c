import logging
from collections.abc import Iterator

import pytest

from tests.simulation.house import EngineName
from tests.simulation.mutants import MUTANTS, caught_after
from tests.simulation.run import run

SEEDS = 40
JOURNAL_SEEDS = 12
STEPS = 200
MUTANT_SEEDS_MAX = 400


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of injected failures are not news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_the_house_keeps_its_promises_whatever_happens(engine: EngineName, seed: int) -> None:
    outcome = run(seed, STEPS, engine)
    assert not outcome.failure, f"seed {seed}: {outcome.failure}\n" + "\n".join(outcome.trace)


@pytest.mark.parametrize("seed", range(JOURNAL_SEEDS))
def test_the_house_keeps_its_promises_over_a_journal_that_loses_answers(seed: int) -> None:
    """Every crash takes the store along."""
    outcome = run(seed, STEPS, "journal")
    assert not outcome.failure, f"seed {seed}: {outcome.failure}\n" + "\n".join(outcome.trace)


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_a_seed_is_one_story(engine: EngineName) -> None:
    assert [run(seed, STEPS, engine).digest for seed in (3, 4)] == [run(seed, STEPS, engine).digest for seed in (3, 4)]
    assert run(3, STEPS, engine).digest != run(4, STEPS, engine).digest


@pytest.mark.parametrize(("name", "engine"), [(name, engine) for name, mutant in MUTANTS.items() for engine in mutant.engines])
def test_a_mutant_does_not_pass(name: str, engine: EngineName) -> None:
    assert caught_after(name, engine, steps=STEPS, seeds_max=MUTANT_SEEDS_MAX) is not None
