"""Waits inside a real triggerer: a mapped DAG of many deferred tasks on two worker slots, the sandbox as the gateway.

Prints how long it took, what was requested, the triggerer's CPU, whether a task held a worker slot while its video
was rendered, and whether the triggerer's watchdog saw the loop blocked. Each task is started twice, and each start
costs seconds of CPU: that, not the waiting, is how long this takes. Linux only: CPU comes from /proc.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests

from tests.deployment import Deployment, connection, wait_until
from tests.servers import sandbox

KEY = "not-a-secret"
SLOTS = 2
TICK = os.sysconf("SC_CLK_TCK")
DAG = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

with DAG("many", schedule=None, catchup=False, max_active_tasks=10_000):
    WisdomGateGenerateVideoOperator.partial(
        task_id="clip", model="any", seconds=1, size="64x48", deferrable=True, timeout=7200
    ).expand(prompt=[f"boat {{number}}" for number in range({count})])
"""


def cpu_of_group(group: int) -> float:
    """Add up the CPU seconds of a process group, with its children that have ended."""
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            used += sum(int(field) for field in fields[11:15])
    return used / TICK


def counts(url: str) -> dict[str, int]:
    found: dict[str, int] = requests.get(f"{url}/_sandbox/counts", timeout=30).json()
    return found


def states(airflow: Deployment) -> Counter[str]:
    """Count the task instances of the run by state, without reading all of them."""
    found: Counter[str] = Counter()
    for state in ("running", "queued", "deferred", "success", "failed", "up_for_retry"):
        page = airflow.api("GET", f"/dags/many/dagRuns/~/taskInstances?limit=1&state={state}")
        found[state] = page["total_entries"]
    return found


def run(count: int, render_seconds: float, limit: float, debug: bool) -> bool:
    with (
        tempfile.TemporaryDirectory(prefix="wisdomgate-bench-") as folder,
        sandbox(f"--api-key={KEY}", f"--render-seconds={render_seconds}") as url,
    ):
        dags = Path(folder, "dags")
        dags.mkdir()
        (dags / "many.py").write_text(DAG.format(count=count))
        gateway = connection(conn_type="wisdomgate", host=url, password=KEY)
        environment = {
            "AIRFLOW_CONN_WISDOMGATE_DEFAULT": gateway,
            "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(Path(folder, "clips")),
            "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
            "AIRFLOW__CORE__MAX_MAP_LENGTH": "100000",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db?timeout=60",
            **({"PYTHONASYNCIODEBUG": "1"} if debug else {}),
        }
        with Deployment(dags, environment) as airflow:
            report(airflow, url, count, limit, debug)
            clips = len(list(Path(folder, "clips").rglob("*.mp4")))
            print(f"clips stored             {clips:8,}")
            return clips == count


def report(airflow: Deployment, url: str, count: int, limit: float, debug: bool) -> None:
    triggerer = airflow.processes["triggerer"].pid
    idle_begin, idle = time.monotonic(), cpu_of_group(triggerer)
    run_id = airflow.trigger("many")
    before, begin = cpu_of_group(triggerer), time.monotonic()
    idle_share = (before - idle) / (begin - idle_begin)
    most: Counter[str] = Counter()

    def ended() -> bool:
        now = states(airflow)
        for state, number in now.items():
            most[state] = max(most[state], number)
        return now["success"] + now["failed"] >= count

    try:
        wait_until("the end of all tasks", ended, limit, pause=3.0)
    except TimeoutError as error:
        print(error)
    took, used = time.monotonic() - begin, cpu_of_group(triggerer) - before
    now, asked = states(airflow), counts(url)
    log = (airflow.home / "triggerer.log").read_text()
    own = [line for line in log.splitlines() if "blocked for" in line or "Executing <" in line]
    print(f"run {run_id}: {dict(+now)}")
    slots = f"on {SLOTS} worker slots; at most {most['running']} ran and {most['deferred']} were deferred"
    print(f"tasks             {count:8,}  {slots}")
    print(f"took              {took:8.0f} s")
    print(f"creates           {asked['create_requests']:8,}")
    print(f"polls             {asked['polls']:8,}  {asked['refused_429']} of them refused")
    print(f"downloads         {asked['downloads']:8,}")
    print(f"triggerer's CPU   {used:8.1f} s, {used / took:.3f} of a core; idle before: {idle_share:.3f}")
    print(f"loop blocked      {len(own):8,}  lines of the watchdog{' and of asyncio debug' if debug else ''}")
    for line in own[:10]:
        print(f"    {line[:120]} ... {line[-60:]}")
    verdict("all finish", now["success"], now["success"] == count)
    # A task that holds its slot while it waits is running; then never more than the slots could wait.
    verdict("most that waited at once, without a slot", most["deferred"], most["deferred"] > SLOTS >= most["running"])


def verdict(text: str, value: int, is_met: bool) -> None:
    print(f"{'met   ' if is_met else 'MISSED'}  {text}: {value}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--render-seconds", type=float, default=60.0)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which it gives up")
    parser.add_argument("--debug", action="store_true", help="run Airflow with PYTHONASYNCIODEBUG")
    options: Any = parser.parse_args()
    return 0 if run(options.tasks, options.render_seconds, options.limit, options.debug) else 1


if __name__ == "__main__":
    sys.exit(main())
