"""Runs the simulator: ./scripts/simulate [--schedules N] [--seed S] [--replay SEED] [--mutant ROW] [--find-mutants]."""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from simulation.mutants import MUTANTS
from simulation.plan import CHOSEN
from simulation.report import print_report, print_violations, replay, run_many

FIXED, FRESH = 10_000, 500
FIXED_SEED = 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulate", description="Run schedules; without options, what CI runs.")
    parser.add_argument("--schedules", type=int, help="how many (default: 10,000 fixed ones and 500 fresh ones)")
    parser.add_argument("--seed", type=int, help="of the first schedule; the next ones count up (default: a fresh one)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print one schedule, shrunk if it breaks a rule")
    parser.add_argument("--whole", action="store_true", help="with --replay: do not shrink")
    parser.add_argument("--mutant", choices=list(MUTANTS), help="put the defect of a row back")
    parser.add_argument("--find-mutants", action="store_true", help="print in how many schedules each defect is found")
    parser.add_argument("--kinds", help="only these faults, fates and traits of plan.py, by commas")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    CHOSEN[:] = args.kinds.split(",") if args.kinds else []
    if args.replay is not None:
        return int(replay(args.replay, args.mutant, shorten=not args.whole))
    if args.find_mutants:
        return find_mutants(args.seed or FIXED_SEED, args.schedules or 2_000, args.jobs)
    fresh = args.seed if args.seed is not None else secrets.randbelow(10**9)
    if args.schedules is not None:
        batches = [(fresh, args.schedules)]
    else:
        batches = [(FIXED_SEED if args.seed is None else args.seed, FIXED), (secrets.randbelow(10**9), FRESH)]
    return int(sum(run_batch(seed, number, args) for seed, number in batches) > 0)


def run_batch(seed: int, number: int, args: argparse.Namespace) -> bool:
    print(
        f"== {number} schedules from seed {seed}" + (f", with the defect of row {args.mutant}" if args.mutant else "")
    )
    report = run_many(seed, number, args.mutant, args.jobs)
    print_report(report)
    print_violations(report, args.mutant)
    sys.stdout.flush()
    return bool(report.violations)


def find_mutants(seed: int, number: int, jobs: int) -> int:
    """Print a table: how many schedules find each defect. One that none finds is looked for in 100,000."""
    print(f"| row | schedules that find it, of {number} | first seed | what it breaks |\n|---|---|---|---|")
    missed = 0
    for row in MUTANTS:
        report = run_many(seed, number, row, jobs)
        if not report.violations:
            report = run_many(seed + number, 100_000 - number, row, jobs, stop=True)
        missed += not report.violations
        first = min(report.violations, default=None)
        broken = report.violations.get(first, "nothing")
        print(f"| {row} | {len(report.violations)} of {report.schedules} | {first} | {broken[:90]} |", flush=True)
    return int(missed > 0)


sys.exit(main())
