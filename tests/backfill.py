"""A real Airflow backfills a week of clips twice: the second time asks the gateway nothing. Run by scripts/backfill."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import Deployment, connection, wait_until

DAGS = Path(__file__).parent / "dags"
DAG, DAYS = "one_clip_a_day", 7
WRITERS = ("scheduler", "dag-processor", "triggerer")


def runs(airflow: Deployment) -> list[str]:
    """Return the states of the backfill's runs."""
    found = airflow.api("GET", f"/dags/{DAG}/dagRuns?limit=100&run_type=backfill")["dag_runs"]
    return [run["state"] for run in found]


def is_over(airflow: Deployment, number: int) -> bool:
    backfills = airflow.api("GET", f"/backfills?dag_id={DAG}&limit=100")["backfills"]
    is_done = len(backfills) >= number and all(entry["completed_at"] for entry in backfills)
    return bool(is_done) and all(state in ("success", "failed") for state in runs(airflow))


def backfill(airflow: Deployment, sandbox: Sandbox, number: int) -> dict[str, int]:
    """Backfill the week once; returns what the gateway was asked meanwhile."""
    sandbox.reset()
    days = ["--from-date", "2026-02-01", "--to-date", f"2026-02-{DAYS:02d}"]
    # SQLite takes one writer: the command's transaction fails while Airflow's own parts write.
    for name in WRITERS:
        airflow.kill(name, signal.SIGTERM)
    airflow.airflow("backfill", "create", "--dag-id", DAG, *days, "--reprocess-behavior", "completed")
    for name in WRITERS:
        airflow.start(name)
    wait_until("the backfill's end", lambda: is_over(airflow, number), 300, pause=2)
    counts = sandbox.counts()
    return {name: counts[name] for name in ("create_requests", "creates", "polls", "downloads")}


def main() -> int:
    with tempfile.TemporaryDirectory() as clips, Sandbox(render_seconds=2.0) as sandbox:
        gateway = connection(conn_type="wisdomgate", host=sandbox.url, password=sandbox.api_key)
        environment = {"AIRFLOW_CONN_WISDOMGATE_DEFAULT": gateway, "AIRFLOW__WISDOMGATE__STORAGE_PATH": clips}
        with Deployment(DAGS, environment) as airflow:
            wait_until("the DAG being parsed", lambda: airflow.has_dag(DAG), 120)
            asked = []
            for number in (1, 2):
                began = time.monotonic()
                asked.append(backfill(airflow, sandbox, number))
                states, seconds = runs(airflow), time.monotonic() - began
                print(f"== backfill {number} of {DAYS} days: {asked[-1]}, runs {states}, {seconds:.0f} s", flush=True)
    first, second = asked
    is_good = (
        first["creates"] == DAYS == first["downloads"] and not any(second.values()) and states == ["success"] * DAYS
    )
    print("== The promise was kept" if is_good else "== THE PROMISE WAS BROKEN")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
