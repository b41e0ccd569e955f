"""What a DAG file pays for an import beyond Airflow's own, each in fresh processes. Run by ./scripts/bench parse."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

TARGET_MS = 60
OURS = "our operators"
IMPORTS = {
    OURS: "airflow_provider_wisdomgate.operators",
    "our sensor": "airflow_provider_wisdomgate.sensors",
    "our decorator": "airflow_provider_wisdomgate.decorators",
    "HttpOperator": "airflow.providers.http.operators.http",
    "HttpToS3Operator": "airflow.providers.amazon.aws.transfers.http_to_s3",
}
HEAVY = ("aiohttp", "requests", "urllib3", "fsspec", "boto3")
MEASURE = """
import importlib, json, sys, time
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
before, start = set(sys.modules), time.perf_counter()
importlib.import_module(sys.argv[1])
took = time.perf_counter() - start
print(json.dumps([took * 1000, sorted((set(sys.modules) - before) & set(sys.argv[2:]))]))
"""


def measure(module: str) -> tuple[float, list[str]]:
    """Import a module in a fresh process: milliseconds beyond Airflow's own import, and the heavy ones it loads."""
    command = [sys.executable, "-c", MEASURE, module, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    took, heavy = json.loads(done.stdout.splitlines()[-1])
    return took, heavy


def main() -> int:
    """Print the table; exit status 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="fresh processes for each (default: %(default)s)")
    rounds = parser.parse_args().rounds
    for module in IMPORTS.values():
        measure(module)  # writes the bytecode
    # In turns, so that a noisy moment meets all of them.
    runs = [{name: measure(module) for name, module in IMPORTS.items()} for _ in range(rounds)]
    medians = {name: statistics.median(run[name][0] for run in runs) for name in IMPORTS}
    print(f"Beyond `from airflow.sdk import DAG, BaseOperator`, medians of {rounds} fresh processes:\n")
    print(f"{'import':20}{'ms':>8}{'x ours':>10}   loads")
    for name, took in medians.items():
        print(f"{name:20}{took:8.0f}{took / medians[OURS]:10.1f}   {', '.join(runs[0][name][1]) or 'none of them'}")
    is_met = medians[OURS] <= TARGET_MS
    print(f"\ntarget: {OURS} at most {TARGET_MS} ms: {'met' if is_met else 'MISSED'} ({medians[OURS]:.0f} ms)")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
