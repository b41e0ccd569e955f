"""CPU of a mapped clip against a bare operator that defers once, in a real Airflow. Run by ./scripts/bench mapped.

Two runs of each, in turns, on one deployment with the LocalExecutor: CPU seconds per task of the scheduler and its
workers, wall time, and for each of a task's two processes its CPU and the modules that it has loaded when its work is
done. Linux only: CPU comes from /proc. Bytecode is compiled first, as an installed package has it.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import airflow_provider_wisdomgate
from benchmarks.triggerer import cpu_of_group
from tests.deployment import Deployment, connection
from tests.servers import sandbox

KEY = "not-a-secret"
TARGET = 2.0  # times the bare operator's CPU
DAGS = """
import json, os, sys, time
from datetime import timedelta
from airflow.sdk import DAG, BaseOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

def noted(part, run):
    try:
        return run()
    finally:
        ours = sum(name.startswith("airflow_provider_wisdomgate") for name in sys.modules)
        heavy = [name for name in ("aiohttp", "requests", "boto3", "airflow.plugins_manager") if name in sys.modules]
        row = dict(part=part, cpu=time.process_time(), modules=len(sys.modules), ours=ours, heavy=heavy)
        with open(os.path.join({notes!r}, f"{{part}}-{{os.getpid()}}.json"), "w") as file:
            json.dump(row, file)

class Bare(BaseOperator):
    template_fields = ("prompt",)

    def __init__(self, prompt, **options):
        super().__init__(**options)
        self.prompt = prompt

    def execute(self, context):
        noted("bare 1", lambda: None)
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds={seconds})), method_name="end")

    def end(self, context, event):
        return noted("bare 2", lambda: self.prompt)

with DAG("bare", schedule=None, catchup=False, max_active_tasks=10_000):
    Bare.partial(task_id="clip").expand(prompt=[f"boat {{number}}" for number in range({count})])
"""
OURS = """
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from bare import DAG, noted

class Ours(WisdomGateGenerateVideoOperator):
    def execute(self, context):
        return noted("ours 1", lambda: super(Ours, self).execute(context))

    def execute_complete(self, context, event=None):
        return noted("ours 2", lambda: super(Ours, self).execute_complete(context, event))

with DAG("ours", schedule=None, catchup=False, max_active_tasks=10_000):
    Ours.partial(
        task_id="clip", model="any", seconds=1, size="64x48", deferrable=True, poll_interval={seconds}
    ).expand(prompt=[f"boat {{number}}" for number in range({count})])
"""


def one_run(airflow: Deployment, dag_id: str, count: int) -> tuple[float, float]:
    """Run a DAG to its end; return CPU seconds per task and wall seconds."""
    group = airflow.processes["scheduler"].pid
    time.sleep(5)  # what the last run left
    before, began = cpu_of_group(group), time.monotonic()
    state = airflow.wait_for_run(dag_id, airflow.trigger(dag_id), 1800)
    wall = time.monotonic() - began
    time.sleep(3)  # processes that end are counted when they have been waited for
    if state != "success":
        raise RuntimeError(f"{dag_id} ended as {state}:\n{airflow.logs()}")
    return (cpu_of_group(group) - before) / count, wall


def process_rows(notes: Path) -> dict[str, list[dict[str, object]]]:
    rows: dict[str, list[dict[str, object]]] = defaultdict(list)
    for file in sorted(notes.glob("*.json")):
        row = json.loads(file.read_text())
        rows[row["part"]].append(row)
    return rows


def main() -> int:
    """Print both tables; exit status 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=40, help="mapped tasks of a run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each, in turns (default: %(default)s)")
    args = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for folder in (*sys.path, str(Path(airflow_provider_wisdomgate.__file__).parent)):
        if "site-packages" in folder or "wisdomgate" in folder:
            compileall.compile_dir(folder, quiet=2, workers=os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dags, notes, store = (folder / part for part in ("dags", "notes", "store"))
        for part in (dags, notes, store):
            part.mkdir()
        values = {"notes": str(notes), "count": args.tasks, "seconds": 3}
        (dags / "bare.py").write_text(DAGS.format(**values))
        (dags / "ours.py").write_text(OURS.format(**values))
        with sandbox("--render-seconds", "2", "--api-key", KEY) as gateway:
            extra = {"storage_path": str(store)}
            there = connection(conn_type="wisdomgate", host=gateway, password=KEY, extra=extra)
            environment = {
                "AIRFLOW_CONN_WISDOMGATE_DEFAULT": there,
                "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 2),
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "10000",
                "PYTHONPATH": str(dags),
            }
            with Deployment(dags, environment) as airflow:
                one_run(airflow, "bare", args.tasks)  # bytecode of the DAGs, first starts
                measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
                for _ in range(args.rounds):
                    for dag_id in ("bare", "ours"):
                        measured[dag_id].append(one_run(airflow, dag_id, args.tasks))
                return report(measured, process_rows(notes), args.tasks)


def report(measured: dict[str, list[tuple[float, float]]], rows: dict[str, list[dict[str, object]]], tasks: int) -> int:
    print(f"{tasks} mapped tasks, {len(measured['bare'])} runs of each in turns\n")
    print(f"{'operator':10}{'CPU s per task':>24}{'wall s':>20}")
    for dag_id, runs in measured.items():
        cpu, wall = (", ".join(f"{run[column]:.{2 - column}f}" for run in runs) for column in (0, 1))
        print(f"{dag_id:10}{cpu:>24}{wall:>20}")
    print(f"\n{'process':10}{'CPU s':>8}{'modules':>10}{'ours':>7}   loads")
    for part, found in sorted(rows.items()):
        cpu, modules, ours = (statistics.median(float(row[key]) for row in found) for key in ("cpu", "modules", "ours"))  # type: ignore[arg-type]
        print(f"{part:10}{cpu:8.2f}{modules:10.0f}{ours:7.0f}   {', '.join(found[0]['heavy']) or 'none of them'}")  # type: ignore[arg-type]
    ratio = statistics.mean(r[0] for r in measured["ours"]) / statistics.mean(r[0] for r in measured["bare"])
    print(f"\ntarget: at most {TARGET} of the bare operator: {'met' if ratio <= TARGET else 'MISSED'} ({ratio:.2f})")
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
