"""The simulator itself: the same seed gives the same trace, defects are found, what is found gets short.

``./scripts/simulate`` runs many more schedules than these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("greenlet")
pytest.importorskip("airflow.sdk")  # the simulated Airflow is one of version 3

from simulation.mutants import MUTANTS, mutant
from simulation.patches import simulation
from simulation.plan import plan_of
from simulation.report import run_many
from simulation.schedule import run
from simulation.shrink import shrink, words

SEED = 1
SCHEDULES = 300
# How many schedules from SEED find a defect, with room to spare. Those that one schedule in a thousand finds are left
# to `./scripts/simulate --find-mutants`.
BUDGETS = {"1": 400, "2": 20, "4": 400, "5": 400, "7": 1000, "19": 2000}
BUDGETS |= {"below": 2000, "newest": 2000, "page": 2000}
BUDGETS |= {"rule 1": 400, "rule 1 TLS": 200, "rule 2": 400, "rule 2 shown": 1000, "rule 3": 2000, "rule 4": 200}
BUDGETS |= {"rule 4 content": 400, "rule 5": 400, "rule 5 retries": 2000, "rule 6": 2000, "rule 6 owner": 2000}
BUDGETS |= {"rule 7": 100, "rule 8": 400, "output count": 400, "output lives": 400}
RARE = {"21", "clock", "age", "remix", "output restored"}


@pytest.fixture
def simulated() -> Iterator[None]:
    with simulation():
        yield


@pytest.mark.usefixtures("simulated")
def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = ([run(plan_of(seed), tracing=True).trace for seed in range(SEED, SEED + 30)] for _ in range(2))
    assert first == second
    assert len({hashlib.sha256("\n".join(trace).encode()).hexdigest() for trace in first}) == 30


def test_no_schedule_breaks_a_rule() -> None:
    report = run_many(SEED, SCHEDULES)
    assert (report.schedules, report.violations) == (SCHEDULES, {})


def test_every_defect_is_looked_for() -> None:
    assert BUDGETS.keys() | RARE == MUTANTS.keys()


@pytest.mark.parametrize("row", sorted(BUDGETS))
def test_a_defect_that_reading_found_is_found(row: str) -> None:
    assert run_many(SEED, BUDGETS[row], row, stop=True).violations != {}


@pytest.mark.usefixtures("simulated")
def test_what_is_found_is_made_shorter_and_still_breaks_the_same_rule() -> None:
    with mutant("5"):
        seed = min(run_many(SEED, BUDGETS["5"], stop=True).violations)
        whole = run(plan_of(seed), tracing=True)
        plan, result = shrink(plan_of(seed))
    assert result.rule == whole.rule
    assert len(result.trace) < len(whole.trace)
    assert len(words(plan)) - 1 <= len(plan.tasks)


@pytest.mark.usefixtures("simulated")
def test_the_faults_of_a_plan_can_all_be_taken_away() -> None:
    plan = next(plan for seed in range(SEED, SEED + 100) if run(plan := plan_of(seed)).strikes)
    strikes: Any = run(plan).strikes
    while strikes:  # what a strike kept from happening may be struck itself
        plan = replace(plan, dropped=plan.dropped | set(strikes))
        strikes = run(plan).strikes
    assert run(plan).violation is None
