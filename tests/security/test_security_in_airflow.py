"""A real Airflow of several processes runs our tasks, and then everything in it is searched for the key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import Deployment, connection, wait_until

pytestmark = pytest.mark.needs("player")

MARK = "m4rk3rD3pl0yed"
KEY = f"sk-{MARK}/%s+x=="
DAG_ID = "searched"
DAGS = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

common = {"model": "any", "seconds": 1, "size": "64x48", "deferrable": True, "poll_interval": 4, "timeout": 120}
with DAG("searched", schedule=None) as dag:
    Generate(task_id="environment", prompt="a cat", **common)
    Generate(task_id="database", prompt="a dog", wisdomgate_conn_id="stored", **common)
    Generate(task_id="refused", prompt="a cow [sandbox: poll=401-quoting]", **common)
"""
ENDS = {"environment": "success", "database": "success", "refused": "failed"}


class Search:
    """What was read of an Airflow: where from, and the text."""

    def __init__(self, airflow: Deployment, clips: Path) -> None:
        self.airflow, self.clips = airflow, clips
        self.read: dict[str, str] = {}

    def places(self, word: str = MARK) -> list[str]:
        return sorted(place for place, text in self.read.items() if word in text)

    def database(self, moment: str) -> str:
        """Read every table, and return that of the triggers."""
        with sqlite3.connect(f"file:{self.airflow.home / 'airflow.db'}?mode=ro", uri=True) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                self.read[f"{moment}: table {table}"] = repr(db.execute(f"SELECT * FROM {table}").fetchall())
        return self.read[f"{moment}: table trigger"]

    def files(self) -> None:
        """Read every file of Airflow's but its database, and the clips' records."""
        paths = [path for path in self.airflow.home.rglob("*") if path.is_file() and "airflow.db" not in path.name]
        for path in [*paths, *self.clips.rglob("*.json")]:
            self.read[f"file {path}"] = path.read_bytes().decode(errors="replace")

    def pages(self, moment: str, run_id: str, tasks: tuple[str, ...]) -> None:
        """Read what the API and the player answer."""
        run = f"/dags/{DAG_ID}/dagRuns/{quote(run_id)}"
        paths = [run, f"{run}/taskInstances"]
        for task in tasks:
            instance = f"{run}/taskInstances/{task}"
            paths.append(f"{instance}/logs/1?full_content=true")
            xcoms = self.get(f"/api/v2{instance}/xcomEntries", moment)
            for entry in json.loads(xcoms)["xcom_entries"]:
                paths.append(f"{instance}/xcomEntries/{quote(entry['key'])}?deserialize=true")
            for page in ("player", "content"):
                self.get(f"/wisdomgate/ti/{DAG_ID}/{quote(run_id, safe='')}/{task}/-1/{page}", moment)
        for path in paths:
            self.get(f"/api/v2{path}", moment)

    def get(self, path: str, moment: str) -> str:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        answer = requests.get(f"{self.airflow.url}{path}", headers=headers, timeout=60)
        self.read[f"{moment}: {path}"] = f"{answer.status_code} {answer.headers} {answer.text}"
        return answer.text

    @property
    def token(self) -> str:
        if "_token" not in vars(self):
            self._token = self.airflow.token()
        return self._token


def is_logged(home: Path) -> bool:
    text = "".join(path.read_text(errors="replace") for path in (home / "logs").rglob("*.log"))
    return "is stored at" in text and "Bearer ***" in text


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Search]:
    """Everything that was to be read while the tasks were deferred, and after their ends."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "dags").mkdir()
    (folder / "dags" / "searched.py").write_text(DAGS)
    with Sandbox(KEY, render_seconds=5.0) as gateway:
        fields: dict[str, Any] = {"conn_type": "wisdomgate", "host": gateway.url, "password": KEY}
        environment = {
            "AIRFLOW_CONN_WISDOMGATE_DEFAULT": connection(**fields),
            "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(folder / "clips"),
            "AIRFLOW__CORE__FERNET_KEY": "",  # keys stand in the database as they are
            "AIRFLOW__CORE__PARALLELISM": "4",
        }
        with Deployment(folder / "dags", environment) as airflow:
            airflow.api("POST", "/connections", {"connection_id": "stored", **fields})
            search = Search(airflow, folder / "clips")
            run_id = airflow.trigger(DAG_ID)
            wait_until("a deferral", lambda: "WisdomGateVideo" in search.database("deferred"), 120)
            search.pages("deferred", run_id, ("environment",))
            airflow.wait_for_run(DAG_ID, run_id, 180)
            ends = {each["task_id"]: each["state"] for each in airflow.task_instances(DAG_ID, run_id)}
            assert ends == ENDS, airflow.logs()
            assert gateway.counts()["unauthorized"] == 0
            wait_until("the last lines of the logs", lambda: is_logged(airflow.home), 60)
            search.database("ended")
            search.pages("ended", run_id, tuple(ENDS))
            for path in (f"dags/{DAG_ID}/details", f"dagSources/{DAG_ID}", "eventLogs", "connections", "plugins"):
                search.get(f"/api/v2/{path}", "ended")
            search.files()
            yield search


def test_the_key_is_in_no_table_page_log_or_file_of_airflows(search: Search) -> None:
    assert search.places() == ["deferred: table connection", "ended: table connection"]


def test_what_was_searched_is_what_people_read(search: Search) -> None:
    def has(place: str, word: str) -> bool:
        return any(place in name and word in text for name, text in search.read.items())

    assert {
        (place, word): has(place, word)
        for place, word in [
            ("deferred: table trigger", "WisdomGateVideoTrigger"),
            ("ended: table xcom", "sha256"),
            ("ended: table rendered_task_instance_fields", "a cat"),
            ("ended: table serialized_dag", "WisdomGateGenerateVideoOperator"),
            ("ended: table log", "searched"),
            ("logs/1?full_content", "Incorrect API key provided: Bearer ***"),
            ("logs/1?full_content", "is stored at"),
            ("task_id=refused", "Incorrect API key provided: Bearer ***"),
            ("triggerer.log", "trigger"),
            ("xcomEntries/return_value?deserialize=true", "sha256"),
            ("environment/-1/player", "<video"),
            ("dagSources", "Generate"),
            (".mp4.json", "claim_id"),
        ]
        if not has(place, word)
    } == {}
