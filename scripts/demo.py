"""Runs example_dags/generate_video.py through Airflow and prints what a person wants to see of it."""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "example_dags" / "generate_video.py"
TOLD = re.compile(
    r"(Video \S+ is .*?|Pausing task as DEFERRED\.?|Going on with video .*?)(?: \[airflow|\s*dag_id=|\s*\[|$)"
)


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", action="store_true", help="use the real gateway; spends credit of WISDOM_GATE_KEY")
    parser.add_argument("--run-dag", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run_dag:
        return run_dag()
    key = os.environ.get("WISDOM_GATE_KEY")
    if arguments.live and not key:
        print("--live needs a key in the environment variable WISDOM_GATE_KEY.", file=sys.stderr)
        return 2
    if arguments.live:
        print("This asks the real gateway for a video and SPENDS CREDIT of the key in WISDOM_GATE_KEY.", flush=True)
        return watch({"conn_type": "wisdomgate", "password": key})
    from airflow_provider_wisdomgate.sandbox import Sandbox

    with Sandbox(render_seconds=6.0) as sandbox:
        print(f"== The sandbox gateway listens on {sandbox.url}", flush=True)
        return watch({"conn_type": "wisdomgate", "host": sandbox.url, "password": sandbox.api_key})


def watch(connection: dict[str, str | None]) -> int:
    """Run the DAG in a process of its own, print the lines that matter, and the clip at the end."""
    home = Path(os.environ["AIRFLOW_HOME"])
    environment = {
        **os.environ,
        "AIRFLOW_CONN_WISDOMGATE_DEFAULT": json.dumps(connection),
        "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(home / "clips"),
    }
    print(f"== Airflow runs {EXAMPLE.relative_to(ROOT)}", flush=True)
    command = [sys.executable, __file__, "--run-dag"]
    log, clip = [], None
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as dag:
        for line in dag.stdout or nullcontext():
            log.append(line)
            if line.startswith("CLIP "):
                clip = json.loads(line.removeprefix("CLIP "))
            elif found := TOLD.search(line):
                print(f"   {found[1].strip()}", flush=True)
    (home / "demo.log").write_text("".join(log))
    if dag.returncode or clip is None:
        print("".join(log[-40:]), file=sys.stderr)
        print(f"The demo failed; the whole log is {home / 'demo.log'}", file=sys.stderr)
        return 1
    print("== The clip")
    print(f"   uri       {clip['uri']}\n   size      {clip['size']} bytes\n   duration  {clip['duration']} s")
    print(f"   picture   {clip['width']}x{clip['height']}\n   sha256    {clip['sha256']}")
    return 0


def run_dag() -> int:
    """Run the example in this process, with real deferral, and print its clip as one JSON line."""
    dag = runpy.run_path(str(EXAMPLE))["dag"]
    run = dag.test()
    if run.state != "success":
        return 1
    (task,) = run.get_task_instances()
    print("CLIP", json.dumps(task.xcom_pull(task_ids=task.task_id)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
