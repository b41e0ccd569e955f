"""Makes a failing schedule as short as it gets: takes tasks, deeds and strikes away one by one while it still fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulation.plan import Plan
from simulation.schedule import Result, run

MAX_RUNS = 400


def shrink(plan: Plan) -> tuple[Plan, Result]:
    """Return the shortest plan that was found to break the same rule, and its traced run."""
    best = run(plan)
    runs = 0
    is_shorter = best.violation is not None
    while is_shorter and runs < MAX_RUNS:
        is_shorter = False
        for part in _parts(plan, best):
            smaller = replace(plan, dropped=plan.dropped | {part})
            result = run(smaller)
            runs += 1
            if result.rule == best.rule:
                plan, best, is_shorter = smaller, result, True
    return plan, run(plan, tracing=True)


def _parts(plan: Plan, result: Result) -> list[Any]:
    tasks = [("task", number) for number in range(len(plan.tasks))]
    deeds = [("deed", number) for number in range(len(plan.deeds))]
    return [part for part in [*tasks, *deeds, *result.strikes] if part not in plan.dropped]


def words(plan: Plan) -> list[str]:
    """Return what a plan is, in plain lines."""
    kind = "like local files" if plan.is_local else "like an object store"
    versions = "hashes of the bytes" if plan.version_kind == "hash" else "numbers that never come back"
    lines = [
        f"seed {plan.seed}: a store {kind}, versions are {versions}"
        f"{'' if plan.has_clock or plan.is_local else ', without a clock of its own'}"
        f"{'' if plan.keeps_conditions else ', which ignores conditions'}; hosts' clocks up to {plan.skew:.0f} s off"
        f"{'; the gateway encodes anew at each download' if plan.reencodes else ''}"
    ]
    for number, task in enumerate(plan.tasks):
        if ("task", number) not in plan.dropped:
            what = f"downloads {task.video_id}" if task.kind == "download" else f"wants {task.prompt!r}"
            how = f"if_exists={task.if_exists}, on_lost_create={task.on_lost_create}, retries={task.retries}"
            more = f"{', deferrable' if task.deferrable else ''}{', delete_on_kill' if task.delete_on_kill else ''}"
            more += ", with a memory" if task.has_memory else ""
            lines.append(f"{task.name} at {task.start:.2f} s {what} at {task.place} ({how}{more})")
    return lines
