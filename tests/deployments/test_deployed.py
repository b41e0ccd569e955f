"""A real Airflow, configured as large ones are, runs our tasks: what its owner would see is right.

Its connection stands in a file that a secrets backend reads, XComs in an object store (a folder), OpenLineage's events
in a file, and metrics go to a StatsD server.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import Deployment

pytestmark = pytest.mark.needs("player")  # what runs an Airflow here is for 3.1 and newer
pytest.importorskip("airflow.providers.openlineage")
pytest.importorskip("airflow.providers.common.io")
pytest.importorskip("statsd")

DAG_ID = "deployed"
DAGS = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import (
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
)
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

small = {"model": "any", "seconds": 1, "size": "64x48"}
with DAG("deployed", schedule=None) as dag:
    WisdomGateGenerateVideoOperator(
        task_id="generate", prompt="a cat", destination="generated.mp4", deferrable=True, poll_interval=4, **small
    )
    create = WisdomGateCreateVideoOperator(task_id="create", prompt="a dog", **small)
    wait = WisdomGateVideoSensor(task_id="wait", video_id=create.output, deferrable=True, poke_interval=4)
    wait >> WisdomGateDownloadVideoOperator(
        task_id="download", video_id="{{ ti.xcom_pull(task_ids='wait')['id'] }}", destination="downloaded.mp4"
    )
"""
TASKS = {"generate", "create", "wait", "download"}
CLIPS = {"generate": "generated.mp4", "download": "downloaded.mp4"}


@contextmanager
def statsd_server() -> Iterator[tuple[int, Counter[str]]]:
    """Listen for metrics; yields the port and what has been counted so far."""
    counted: Counter[str] = Counter()

    def listen() -> None:
        while datagram := server.recv(65536):
            for name, number in re.findall(r"^(\S+):(\d+)\|c", datagram.decode(), re.M):
                counted[name] += int(number)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1], counted
        finally:
            server.sendto(b"", server.getsockname())  # an empty one ends it
            thread.join()


@dataclass
class Ran:
    """The Airflow whose run is over, its far side, and what it left where."""

    airflow: Deployment
    gateway: Sandbox
    counted: Counter[str]
    folder: Path
    run_id: str

    def clip(self, task: str) -> Path:
        return self.folder / "clips" / CLIPS[task]

    def xcom(self, task: str, query: str = "") -> Any:
        path = f"/dags/{DAG_ID}/dagRuns/{quote(self.run_id)}/taskInstances/{task}/xcomEntries/return_value"
        return self.airflow.api("GET", path + query)["value"]


def environment(folder: Path, statsd: int) -> dict[str, str]:
    connections = {"connections_file_path": str(folder / "connections.json")}
    events = {"type": "file", "log_file_path": str(folder / "lineage"), "append": False}
    return {
        "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(folder / "clips"),
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(connections),
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{folder}/xcoms",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(events),
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__PARALLELISM": "2",
    }


def task_logs(airflow: Deployment) -> str:
    return "\n".join(log.read_text() for log in sorted((airflow.home / "logs").rglob("attempt=*.log*")))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "dags").mkdir()
    (folder / "dags" / "deployed.py").write_text(DAGS)
    with Sandbox(render_seconds=3.0) as gateway, statsd_server() as (port, counted):
        fields = {"conn_type": "wisdomgate", "host": gateway.url, "password": gateway.api_key}
        (folder / "connections.json").write_text(json.dumps({"wisdomgate_default": fields}))
        with Deployment(folder / "dags", environment(folder, port)) as airflow:
            run_id = airflow.trigger(DAG_ID)
            airflow.wait_for_run(DAG_ID, run_id, 180)
            ends = {task["task_id"]: task["state"] for task in airflow.task_instances(DAG_ID, run_id)}
            assert ends == dict.fromkeys(TASKS, "success"), task_logs(airflow)
            yield Ran(airflow, gateway, counted, folder, run_id)


def test_a_secrets_backend_gives_the_connection_to_tasks_and_to_the_triggerer(ran: Ran) -> None:
    assert ran.airflow.api("GET", "/connections")["connections"] == []
    counts = ran.gateway.counts()
    assert (counts["creates"], counts["downloads"], counts["unauthorized"]) == (2, 2, 0)  # from tasks
    assert counts["polls"] >= 2  # from the triggerer: both waits are deferred


def test_xcoms_in_an_object_store_carry_the_id_to_the_sensor_and_the_download(ran: Ran) -> None:
    stored = {str(path) for path in (ran.folder / "xcoms").rglob("*") if path.is_file()}
    for task in TASKS:
        assert str(ran.xcom(task)).removeprefix("file://") in stored
    assert ran.clip("download").read_bytes()[4:8] == b"ftyp"


def test_statsd_gets_the_counters_of_tasks_and_of_the_triggerer(ran: Ran) -> None:
    sizes = sum(ran.clip(task).stat().st_size for task in CLIPS)
    polls = ran.gateway.counts()["polls"]
    wanted = {"creates": 2, "polls": polls, "downloads": 2, "downloaded_bytes": sizes}
    names = {f"airflow.wisdomgate.{name}": number for name, number in wanted.items()}
    assert {name: ran.counted[name] for name in ran.counted if ".wisdomgate." in name} == names


def test_openlineage_tells_each_clip_as_an_output(ran: Ran) -> None:
    events = [json.loads(file.read_text()) for file in ran.folder.glob("lineage*")]
    ends = {event["job"]["name"]: event["outputs"] for event in events if event["eventType"] == "COMPLETE"}
    for task in CLIPS:
        (told,) = ends[f"{DAG_ID}.{task}"]
        clip = ran.clip(task)
        assert (told["namespace"], told["name"]) == ("file", str(clip))
        assert told["outputFacets"]["outputStatistics"]["size"] == clip.stat().st_size


WORDS = {
    "good": (True, "The key works at {url}/v1; available balance: "),
    "wrong key": (False, "Invalid token: the API key is missing or wrong. (HTTP 401, "),
    "nobody there": (False, "No connection to http://127.0.0.1:9: it was refused."),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_apis_connection_test_answers_in_the_hooks_words(case: str, ran: Ran) -> None:
    fields = {"connection_id": "new", "conn_type": "wisdomgate", "host": ran.gateway.url}
    fields["password"] = "wrong" if case == "wrong key" else ran.gateway.api_key
    if case == "nobody there":
        fields["host"] = "http://127.0.0.1:9"
    answer = ran.airflow.api("POST", "/connections/test", fields)
    is_good, words = WORDS[case]
    assert answer["status"] == is_good
    assert answer["message"].startswith(words.format(url=ran.gateway.url))
