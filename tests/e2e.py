"""A real deployment under faults: PostgreSQL, Redis, Celery workers, triggerers, S3. Run by scripts/e2e.

Kills what may be killed while clips are made, and counts at the end: every clip whole, each paid for once, no task
stuck. The far side (sandbox, S3) and Airflow's parts are all real processes on loopback.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import requests

from airflow_provider_wisdomgate.clips.mp4 import BoxWalk
from airflow_provider_wisdomgate.exceptions import WisdomGateError
from tests import servers
from tests.deployment import Deployment, connection, free_port, wait_until

BUCKET = "clips"
MANY, DAILY = "many_clips", "one_clip_a_day"
DAGS = Path(__file__).parent / "dags"
LOGS = Path(__file__).parent.parent / ".cache" / "e2e-logs"
AT_ONCE = 4


@contextmanager
def postgres(home: Path) -> Iterator[int]:
    """Start a private PostgreSQL in a folder of its own; yields its port."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    folder = max((Path(path).parent for path in found), key=lambda path: float(path.parent.name))
    port, data = free_port(), home / "postgres"
    data.mkdir()
    become = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(data, owner.pw_uid, owner.pw_gid)
        home.chmod(0o755)
        become = ["runuser", "-u", "postgres", "--"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=300"
    control = [*become, str(folder / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(data / "log"), "-w"]
    run(*become, str(folder / "initdb"), "-D", str(data), "-U", "airflow", "-A", "trust", "-E", "UTF8")
    try:
        run(*control, "start")
        run(str(folder / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
        yield port
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def redis(home: Path) -> Iterator[int]:
    """Start a private Redis; yields its port."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    with servers.server(command, "Ready to accept connections"):
        yield port


class Experiment:
    """The deployment, its far side, and what is done to it."""

    def __init__(self, is_short: bool, stack: ExitStack) -> None:
        self.is_short = is_short
        self.clips, self.days, limit = (12, 4, 540) if is_short else (50, 14, 1140)
        self.until = time.monotonic() + limit
        self.home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wisdomgate-e2e-")))
        self.gateway = stack.enter_context(servers.sandbox("--render-seconds=20"))
        self.s3 = stack.enter_context(servers.s3())
        login = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        self.store = boto3.client("s3", endpoint_url=self.s3, region_name="us-east-1", **login)
        self.store.create_bucket(Bucket=BUCKET)
        database, broker = stack.enter_context(postgres(self.home)), stack.enter_context(redis(self.home))
        self.airflow = stack.enter_context(Deployment(DAGS, self.environment(database, broker)))
        self.struck: list[str] = []
        self.asked_again: int | None = None
        self.again_at = "~"  # after every date
        for number in (1, 2):
            self.start_worker(number)
        self.start_triggerer()

    def environment(self, database: int, broker: int) -> dict[str, str]:
        url = f"airflow@127.0.0.1:{database}/airflow"
        aws = {"endpoint_url": self.s3, "region_name": "us-east-1"}
        return {
            "E2E_CLIPS": str(self.clips),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{url}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{url}",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{url}",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "60",
            # So that what a killed worker or triggerer held is noticed within the experiment.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            # Longer than the workers need for all that is queued: Airflow fails a task that it has requeued twice.
            "AIRFLOW__CORE__PARALLELISM": str(4 * AT_ONCE),
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "150",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "100",
            "AIRFLOW_CONN_WISDOMGATE_DEFAULT": connection(
                conn_type="wisdomgate",
                host=self.gateway,
                password="sandbox-key",
                extra={"storage_path": f"s3://aws_default@{BUCKET}/videos"},
            ),
            "AIRFLOW_CONN_AWS_DEFAULT": connection(conn_type="aws", login="testing", password="testing", extra=aws),
        }

    def start_worker(self, number: int) -> None:
        command = ["celery", "worker", "--celery-hostname", f"worker{number}@%h", "--concurrency", str(AT_ONCE)]
        airflow = str(Path(sys.executable).parent / "airflow")
        self.airflow.start(f"worker-{number}", airflow, *command, "--skip-serve-logs")

    def start_triggerer(self) -> None:
        airflow = str(Path(sys.executable).parent / "airflow")
        self.airflow.start("triggerer-2", airflow, "triggerer", "--skip-serve-logs")

    def ask_gateway(self, path: str, method: str = "POST") -> Any:
        answer = requests.request(method, f"{self.gateway}/_sandbox/{path}", timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def counts(self) -> Counter[str]:
        return Counter(self.ask_gateway("counts", "GET"))

    # ---- what is done to it

    def faults(self) -> list[tuple[str, Callable[[], object]]]:
        # A create that is answered 500 or cut off is a lost create, and waits for a person: these two strike GETs only.
        return [
            ("worker SIGKILLed", lambda: self.kill_worker(1)),
            ("gateway answers 429", lambda: self.ask_gateway("burst?status=429&seconds=5&retry_after=3")),
            ("triggerer SIGKILLed", self.kill_triggerer),
            ("gateway answers 503", lambda: self.ask_gateway("burst?status=503&seconds=5&code=get_channel_failed")),
            ("scheduler restarted", self.restart_scheduler),
            ("gateway cut off for 30 s", lambda: self.ask_gateway("down?seconds=30&method=GET")),
            ("other worker SIGKILLed", lambda: self.kill_worker(2)),
            ("gateway answers 500", lambda: self.ask_gateway("burst?status=500&seconds=8&method=GET")),
        ]

    def kill_worker(self, number: int) -> None:
        self.airflow.kill(f"worker-{number}")
        self.start_worker(number)

    def kill_triggerer(self) -> None:
        self.airflow.kill("triggerer-2")
        self.start_triggerer()

    def restart_scheduler(self) -> None:
        self.airflow.kill("scheduler", signal.SIGTERM)
        self.airflow.start("scheduler")

    def torment(self, is_over: threading.Event) -> None:
        """Do one fault after the other; those that come when all is done prove nothing and do not count."""
        for name, strike in self.faults():
            if is_over.wait(6.0):
                return
            say(name)
            strike()
            self.struck.append(name)

    def wait_until(self, what: str, is_true: Callable[[], Any]) -> Any:
        def is_seen() -> Any:
            with suppress(requests.RequestException):  # on a busy machine an answer may take too long
                return is_true()

        return wait_until(what, is_seen, self.until - time.monotonic(), pause=2)

    def run(self) -> None:
        """Make the clips and the first backfill at once while faults strike; then backfill the same days again."""
        run_id = self.airflow.trigger(MANY)
        self.backfill()
        is_over = threading.Event()
        self.wait_until("the first create", lambda: self.counts()["creates"] > 0)
        tormentor = threading.Thread(target=self.torment, args=(is_over,))
        tormentor.start()
        try:
            self.wait_until("the end of many_clips", lambda: self.ended(run_id))
            self.wait_until("the backfill's end", lambda: self.is_over(1))
        finally:
            is_over.set()
            tormentor.join()
        say(f"{MANY}: {self.ended(run_id)}; the first backfill is over")
        before, self.again_at = self.requests_seen(), datetime.now(UTC).isoformat()
        self.backfill()
        if not self.is_short:  # what it held is only missed after half a minute
            say("worker SIGKILLed during the second backfill")
            self.kill_worker(1)
        self.wait_until("the second backfill's end", lambda: self.is_over(2))
        self.asked_again = self.requests_seen() - before

    def backfill(self) -> None:
        days = ["--from-date", "2026-02-01", "--to-date", f"2026-02-{self.days:02d}"]
        self.airflow.airflow("backfill", "create", "--dag-id", DAILY, *days, "--reprocess-behavior", "completed")

    def ended(self, run_id: str) -> str | None:
        state = self.airflow.api("GET", f"/dags/{MANY}/dagRuns/{run_id}")["state"]
        return state if state in ("success", "failed") else None

    def is_over(self, number: int) -> bool:
        backfills = self.airflow.api("GET", f"/backfills?dag_id={DAILY}&limit=100")["backfills"]
        runs = self.airflow.api("GET", f"/dags/{DAILY}/dagRuns?limit=100&run_type=backfill")["dag_runs"]
        states = Counter(run["state"] for run in runs)
        is_done = len(backfills) >= number and all(entry["completed_at"] for entry in backfills)
        return bool(is_done) and states["success"] + states["failed"] == self.days

    def requests_seen(self) -> int:
        counts = self.counts()
        return sum(count for name, count in counts.items() if name != "max_in_flight")

    # ---- what came of it

    def table(self, seconds: float) -> dict[str, Any]:
        tasks = [task for dag in (MANY, DAILY) for task in self.airflow.task_instances(dag)]
        again = [task for task in tasks if task["dag_id"] == DAILY and (task["start_date"] or "") > self.again_at]
        counts, whole = self.counts(), self.whole_clips()
        return {
            "clips wanted": self.clips + self.days,
            "days": self.days,
            "clips stored": len(whole),
            "clips whole, sha256 as in the manifest": sum(whole),
            "creates": counts["creates"],
            "create requests": counts["create_requests"],
            "polls": counts["polls"],
            "downloads": counts["downloads"],
            "requests answered 429 or 5xx, or cut off": counts["burst_replies"] + counts["refused_down"],
            # The second backfill's tries are none of the faults' doing.
            "tries beyond the first": sum(max(task["try_number"] - 1, 0) for task in tasks) - len(again),
            "tasks not successful": sum(task["state"] != "success" for task in tasks),
            "kills, restarts and outages survived": len(self.struck),
            "kills, restarts and outages left out": len(self.faults()) - len(self.struck),
            "tasks that the second backfill ran": len(again),
            "requests of the second backfill": self.asked_again,
            "wall seconds": round(seconds),
        }

    def keep_logs(self) -> None:
        shutil.rmtree(LOGS, ignore_errors=True)
        with suppress(shutil.Error):  # it lives on meanwhile
            shutil.copytree(self.airflow.home, LOGS)
        print(f"   Airflow's logs are kept in {LOGS}")

    def whole_clips(self) -> list[bool]:
        """Say of each stored clip whether it is whole and what its manifest says."""
        pages = self.store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [is_whole(self.read(key), json.loads(self.read(f"{key}.json"))) for key in keys if key.endswith(".mp4")]

    def read(self, key: str) -> bytes:
        return bytes(self.store.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def is_whole(clip: bytes, manifest: dict[str, Any]) -> bool:
    walk = BoxWalk()
    try:
        walk.feed(clip)
        walk.finish()
    except WisdomGateError:
        return False
    return manifest["phase"] == "stored" and manifest["sha256"] == hashlib.sha256(clip).hexdigest()


def is_good(table: dict[str, Any]) -> bool:
    """Return whether the promise was kept."""
    same = ("clips stored", "clips whole, sha256 as in the manifest", "creates")
    all_there = all(table[name] == table["clips wanted"] for name in same)
    none = ("tasks not successful", "kills, restarts and outages left out", "requests of the second backfill")
    ran_again = table["tasks that the second backfill ran"] == table["days"]
    return all_there and ran_again and all(table[name] == 0 for name in none)


def say(text: str) -> None:
    print(f"   {time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer clips and days: about 5 minutes")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
        began = time.monotonic()
        experiment = Experiment(arguments.short, stack)
        say("all parts are up")
        print(f"== {experiment.clips} mapped clips and a backfill of {experiment.days} days under faults", flush=True)
        is_kept = False
        try:
            try:
                experiment.run()
            finally:
                result = experiment.table(time.monotonic() - began)
                for name, value in result.items():
                    print(f"   {name:<42} {value}")
            is_kept = is_good(result)
        finally:
            if not is_kept:
                experiment.keep_logs()
    print("== The promise was kept" if is_kept else "== THE PROMISE WAS BROKEN")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
