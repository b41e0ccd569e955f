"""What Airflow's own commands show of this package, and do with its connections and tasks."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wisdomgate import FORM_EXTRAS, __version__, get_provider_info
from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import BIN

Airflow = Callable[..., str]


@pytest.fixture
def airflow(capfd: pytest.CaptureFixture[str], airflow_db: None) -> Airflow:
    """Run a command of Airflow's in this process; returns what it prints."""
    from airflow.cli.cli_parser import get_parser

    def run(*argv: str) -> str:
        capfd.readouterr()
        arguments = get_parser().parse_args(argv)
        arguments.func(arguments)
        return capfd.readouterr().out

    return run


@pytest.fixture
def stored(airflow: Airflow) -> Iterator[dict[str, Any]]:
    """A connection in Airflow's database that uses every field; what Airflow shall find again."""
    ours = {"storage_path": "s3://aws_default@clips/a b?", "requests_per_minute": 50, "timeout": 90.5}
    ours |= {"min_balance": 1.25, "create_as": "json", "content_from": "route", "upload_args": '{"ACL": "private"}'}
    assert set(ours) == set(FORM_EXTRAS)
    extra = {**ours, "proxies": {"https": "http://user:p%40ss@proxy:3128"}, "trust_env": False, "X-Team": "clips"}
    fields = {"conn_type": "wisdomgate", "host": "https://gateway.example/v1", "password": "sk-/%s+x=:@ü"}
    airflow("connections", "add", "round_trip", "--conn-json", json.dumps({**fields, "extra": extra}))
    yield {**fields, "extra": extra}
    airflow("connections", "delete", "round_trip")


def in_database(home: str | Path) -> dict[str, Any]:
    """Read the connection as it stands in an Airflow without a Fernet key."""
    query = "SELECT conn_type, host, password, extra FROM connection WHERE conn_id = 'round_trip'"
    with closing(sqlite3.connect(Path(home) / "airflow.db")) as database:
        kind, host, password, extra = database.execute(query).fetchone()
    return {"conn_type": kind, "host": host, "password": password, "extra": json.loads(extra)}


def private(home: Path, **more: str) -> dict[str, str]:
    """Make the environment of an Airflow with a home of its own: the tests' empty database, copied."""
    home.mkdir()
    files = Path(os.environ["AIRFLOW_HOME"]) / "airflow.db", home / "airflow.db"
    with closing(sqlite3.connect(files[0])) as ours, closing(sqlite3.connect(files[1])) as copy:
        ours.backup(copy)
    return {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__FERNET_KEY": "", **more}


def test_providers_get_names_the_package_and_its_version(airflow: Airflow) -> None:
    told = airflow("providers", "get", "airflow-provider-wisdomgate", "--output", "json")
    assert {"airflow-provider-wisdomgate", __version__} <= set(json.loads(told)[0].values())


def test_config_list_shows_every_option_with_what_it_means(airflow: Airflow) -> None:
    options = get_provider_info()["config"]["wisdomgate"]["options"]
    told = airflow("config", "list", "--section", "wisdomgate", "--include-descriptions", "--include-examples")
    assert re.findall(r"^#? ?(\w+) = ?\S*$", told, re.M) == list(options)
    words = " ".join(told.replace("#", " ").split())
    for option in options.values():
        assert option["description"].replace("``", "") in words.replace("``", "")
        assert option["example"] in words


def test_an_exported_connection_is_the_same_in_a_fresh_airflow(
    airflow: Airflow, stored: dict[str, Any], tmp_path: Path
) -> None:
    file, home = tmp_path / "exported.json", tmp_path / "home"
    airflow("connections", "export", str(file))
    environment = private(home)
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        database.execute("DELETE FROM connection")
        database.commit()
    subprocess.run([BIN / "airflow", "connections", "import", str(file)], env=environment, check=True, timeout=120)
    assert in_database(home) == stored


@pytest.mark.parametrize("kind", ["yaml", "env"])
def test_so_it_is_in_every_format_of_the_file(kind: str, airflow: Airflow, stored: Any, tmp_path: Path) -> None:
    file = str(tmp_path / f"exported.{kind}")
    airflow("connections", "export", file)
    airflow("connections", "delete", "round_trip")
    airflow("connections", "import", file)
    assert in_database(os.environ["AIRFLOW_HOME"]) == stored


DAGS = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

small = {"model": "any", "prompt": "a cat [sandbox: render=1]", "seconds": 1, "size": "64x48", "poll_interval": 1}
with DAG("tested", schedule=None) as dag:
    Generate(task_id="stores", destination="cat.mp4", deferrable=True, wisdomgate_conn_id="in_database", **small)
    Generate(task_id="misses", destination="dog.mp4", deferrable=True, wisdomgate_conn_id="nowhere", **small)
"""


def test_dags_test_stores_a_clip_and_names_a_connection_that_is_missing(
    airflow: Airflow, sandbox: Sandbox, tmp_path: Path
) -> None:
    """On Airflow 3.3 its trigger finds no connection of the database's in the usual way: it failed, and had paid."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "tested.py").write_text(DAGS)
    gateway = {"conn_type": "wisdomgate", "host": sandbox.url, "password": sandbox.api_key}
    airflow("connections", "add", "in_database", "--conn-json", json.dumps(gateway))
    try:
        more = {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}
        environment = private(tmp_path / "home", AIRFLOW__WISDOMGATE__STORAGE_PATH=str(tmp_path / "clips"), **more)
    finally:
        airflow("connections", "delete", "in_database")
    command = [BIN / "airflow", "dags", "test", "tested"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    told = done.stdout + done.stderr
    assert sandbox.counts()["creates"] == 1, told
    assert (tmp_path / "clips" / "cat.mp4").read_bytes()[4:8] == b"ftyp", told
    assert f"is stored at file://{tmp_path}/clips/cat.mp4" in told
    words = " ".join(told.split())  # Airflow 3.0 breaks lines
    assert "ConfigurationError: There is no connection 'nowhere'. Add it in Admin > Connections, or: airflow" in words
    assert "in_database'." not in told
