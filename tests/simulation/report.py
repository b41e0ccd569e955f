"""Runs many schedules, on several cores if told so, and says what came of them."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulation.mutants import mutant
from simulation.patches import simulation
from simulation.plan import plan_of
from simulation.schedule import run
from simulation.shrink import shrink, words

CHUNK = 100
LINE = 200


@dataclass
class Report:
    """What came of many schedules."""

    schedules: int = 0
    steps: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: dict[int, str] = field(default_factory=dict)

    def add(self, other: Report) -> None:
        self.schedules += other.schedules
        self.steps += other.steps
        self.seconds += other.seconds
        self.counts += other.counts
        self.violations |= other.violations


def run_chunk(job: tuple[int, int, str | None]) -> Report:
    """Run the schedules of consecutive seeds."""
    first, number, row = job
    report, began = Report(), time.process_time()
    gc.freeze()  # Airflow's modules are a tenth of the collector's work
    with simulation(), mutant(row):
        for seed in range(first, first + number):
            result = run(plan_of(seed))
            report.schedules += 1
            report.steps += result.steps
            report.counts += result.counts
            if result.violation:
                report.violations[seed] = result.violation
    report.seconds = time.process_time() - began
    return report


def run_many(first: int, number: int, row: str | None = None, jobs: int = 1, *, stop: bool = False) -> Report:
    """Run the schedules of consecutive seeds; ``stop`` at the first violation."""
    chunks = [(start, min(CHUNK, first + number - start), row) for start in range(first, first + number, CHUNK)]
    report = Report()
    if jobs == 1:
        _gather(report, map(run_chunk, chunks), stop)
    else:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            _gather(report, pool.imap(run_chunk, chunks), stop)
    return report


def _gather(report: Report, parts: Iterable[Report], stop: bool) -> None:
    for part in parts:
        report.add(part)
        if stop and report.violations:
            return


def print_report(report: Report) -> None:
    """Print how many schedules, what struck, how tasks ended, and how many schedules broke a rule."""
    rate = report.schedules / max(report.seconds, 0.001)
    steps = report.steps / max(report.schedules, 1)
    print(f"{report.schedules} schedules, {steps:.0f} steps each, {rate:.0f}/s of a core")
    titles = {"person": "what people did", "ends": "how tasks ended", "last round": "and once the faults were over"}
    titles["killed"] = "what kills left"
    titles["found"] = "what lost creates were taken to have made"
    groups: dict[str, list[str]] = {}
    for name, count in sorted(report.counts.items()):
        kind, _, rest = name.partition(": ")
        title = titles.get(kind, "faults that struck")
        groups.setdefault(title, []).append(f"{rest if kind in titles else name} {count}")
    for title, lines in sorted(groups.items()):
        print(f"  {title}: {', '.join(lines)}")
    print(f"  schedules that broke a rule: {len(report.violations)}")


def print_violations(report: Report, row: str | None, most: int = 3) -> None:
    """Print the first schedule that broke each rule, as short as it gets."""
    seen: set[str] = set()
    for seed, violation in sorted(report.violations.items()):
        if violation[:3] not in seen and len(seen) < most:
            seen.add(violation[:3])
            replay(seed, row)
    if report.violations:
        print("seeds:", ", ".join(f"{seed} {text[:3]}" for seed, text in list(report.violations.items())[:50]))


def replay(seed: int, row: str | None = None, *, shorten: bool = True) -> bool:
    """Print a schedule's trace, shrunk where it breaks a rule; whether it does."""
    with simulation(), mutant(row):
        plan = plan_of(seed)
        if shorten:
            plan, result = shrink(plan)
        else:
            result = run(plan, tracing=True)
    print("\n".join(["", *words(plan), *(line[:LINE] for line in result.trace)]))
    print(f"seed {seed}: {result.violation or 'no rule is broken'}")
    return result.violation is not None
