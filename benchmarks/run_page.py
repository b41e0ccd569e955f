"""Asks for the page of a run with many mapped clips, and prints how long it takes. Times assert nothing.

Airflow's API server app runs in this process on SQLite, as a viewer sees it; what a network and a busy database add
is not in it. The clips' manifests are in a folder, or (``--s3``) in moto's S3 server on loopback, a process of its own.
``--asked``: the places follow from nothing, so that the XComs must be asked for. ``--page-limit``: what an admin may
have set as ``[api] maximum_page_limit``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "plugin")]
DAGS = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

with DAG("big", schedule=None) as dag:
    Generate.partial(task_id="many", model="any").expand(prompt=[str(number) for number in range({clips})])
"""


def main() -> None:
    """Make the run, then ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page-limit", type=int, default=100)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--asked", action="store_true")
    arguments = parser.parse_args()
    os.environ["AIRFLOW__API__MAXIMUM_PAGE_LIMIT"] = str(arguments.page_limit)
    os.environ["AIRFLOW__CORE__MAX_MAP_LENGTH"] = str(max(arguments.clips, 1024))
    from airflow.utils.db import initdb

    initdb()
    if arguments.s3:
        serve = "from s3_server import s3_server\nwith s3_server() as url:\n print(url, flush=True)\n input()"
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
        command = [sys.executable, "-c", serve]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as server:
            measure(arguments, *bucket(server.stdout.readline().strip()))
            server.stdin.close()
    else:
        folder = tempfile.mkdtemp(prefix="wisdomgate-bench-clips.")
        measure(arguments, folder, local_writer)


def local_writer(uri: str, data: bytes) -> None:
    Path(uri).parent.mkdir(parents=True, exist_ok=True)
    Path(uri).write_bytes(data)


def bucket(url: str) -> tuple[str, Callable[[str, bytes], None]]:
    """Make a bucket that ``aws_default`` leads to."""
    from support import S3Place

    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(aws)
    place = S3Place(url)
    root = place.uri("videos")
    return root, lambda uri, data: place.write(uri.partition(f"{place.bucket}/")[2], data)


def measure(arguments: argparse.Namespace, root: str, write: Callable[[str, bytes], None]) -> None:
    from mapped_runs import RUN, Left, airflow_app, leave, log_in, start_run

    from airflow_provider_wisdomgate.clips.names import default_name
    from airflow_provider_wisdomgate.ledger.record import Manifest

    os.environ["AIRFLOW__WISDOMGATE__STORAGE_PATH"] = root
    count = arguments.clips
    folder = Path(tempfile.mkdtemp(prefix="wisdomgate-bench-dags."))
    with airflow_app(folder, DAGS.format(clips=count), {"ada": "admin", "vera": "viewer"}) as app:
        start_run(log_in(app, "ada"), "big")
        left = []
        for index in range(count):
            odd = f"elsewhere/{index * 7919 % 100003}.mp4"
            uri = f"{root}/{odd if arguments.asked else default_name('big', RUN, 'many', index)}"
            made_by = {"dag_id": "big", "run_id": RUN, "task_id": "many", "map_index": index}
            facts: dict[str, Any] = {"size": 1000, "duration": 4.0, "made_by": made_by, "fingerprint": "f"}
            write(f"{uri}.json", Manifest("stored", "c", uri, 1.0, f"video_{index}", **facts).dump())
            write(uri, bytes(1000))
            rendered = {"destination": None, "prompt": "p" * 200, "wisdomgate_conn_id": "wisdomgate_default"}
            left.append(Left("many", index, "success", rendered, {"wisdomgate_destination": uri}))
        leave("big", RUN, left)
        logging.disable(logging.INFO)
        ask(log_in(app, "vera"), f"/wisdomgate/run/big/{quote(RUN, safe='')}/videos", arguments.rounds)
        ask(log_in(app, "vera"), "/wisdomgate/dag/big/videos", arguments.rounds)


def ask(viewer: Any, path: str, rounds: int) -> None:
    took, cpu = [], []
    for _ in range(rounds):
        begun, worked = time.perf_counter(), time.process_time()
        answer = viewer.get(path)
        took.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - worked)
        assert answer.status_code == 200, answer.text
    words = " ".join(f"{each:.2f}" for each in took)
    busy = " ".join(f"{each:.2f}" for each in cpu)
    stored = answer.text.partition('href="?state=stored"')[2][:40].partition("<strong>")[2].partition("<")[0]
    print(f"{path}: median {statistics.median(took):.2f} s (each: {words}); {len(answer.text):,} letters")
    print(f"   of that a processor of this process was busy for {busy} s; stored: {stored or '-'}")


if __name__ == "__main__":
    main()
