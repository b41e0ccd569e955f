"""Runs one schedule: from a plan to a violation or none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from simulation.adoption import Adoptions
from simulation.airflow_side import Airflow
from simulation.books import Books
from simulation.endings import Endings
from simulation.evidence import Evidence
from simulation.gateway import Gateway
from simulation.patches import schedule
from simulation.people import People
from simulation.plan import Plan
from simulation.rules import Rules
from simulation.store import Disk
from simulation.world import Violation, World


@dataclass
class Result:
    """What came of a schedule."""

    violation: str | None
    trace: list[str]
    counts: Counter[str]
    strikes: list[Any] = field(default_factory=list)
    steps: int = 0

    @property
    def rule(self) -> str | None:
        """Return the letter of the rule that was broken."""
        return self.violation and self.violation[:3]


def run(plan: Plan, tracing: bool = False) -> Result:
    """Run a schedule to its end, or to the first violation."""
    world = World(plan, tracing)
    world.disk, world.gateway, world.books = Disk(world), Gateway(world), Books(world)
    world.rules, world.endings, world.adoptions = Rules(world), Endings(world), Adoptions(world)
    world.evidence = Evidence(world)
    world.airflow, world.people = Airflow(world), People(world)
    violation = None
    with schedule(world):
        try:
            world.airflow.begin()
            world.people.begin()
            world.run()
            world.endings.last_round()
        except Violation as found:
            violation = str(found)
            world.note("VIOLATION: %s", violation)
        finally:
            world.stop()
    return Result(violation, world.trace, world.counts, world.struck_keys, world.steps)
