"""What every test stands on: a private Airflow, the sandbox as the gateway, moto's S3 as the object store."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Before anything imports Airflow: scripts/test gives a home of its own, plain pytest gets one here.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="wisdomgate-tests-airflow.")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["AIRFLOW_HOME"] += f"/{worker}"
    os.makedirs(os.environ["AIRFLOW_HOME"], exist_ok=True)  # Airflow 3.0 makes none
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# dag.test() runs only what stands there.
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parents[1] / "example_dags")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

if TYPE_CHECKING:
    from support import LocalPlace, S3Place, TaskInstance

    from airflow_provider_wisdomgate.hooks import WisdomGateHook
    from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
    from airflow_provider_wisdomgate.sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    # Not in pyproject.toml: pytest would import Airflow for it, before AIRFLOW_HOME is set here.
    import airflow.exceptions

    if airflow.__version__ >= "3":
        config.addinivalue_line("filterwarnings", "ignore::airflow.exceptions.RemovedInAirflow4Warning")
    else:
        from airflow_2 import stand_in

        stand_in()
    config.addinivalue_line("markers", "needs(feature): skipped where docs/versions.md says that Airflow lacks it")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        from versions import FEATURES

        (feature,) = marker.args
        if not FEATURES[feature]():
            pytest.skip(f"{feature}: not on this Airflow, see docs/versions.md")


@pytest.fixture
def sandbox(wisdomgate_sandbox: Sandbox) -> Sandbox:
    """The gateway, which has seen nothing yet."""
    return wisdomgate_sandbox


@pytest.fixture
def connect(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Point the default connection to the sandbox; arguments replace its fields, ``extra`` is added to its extra."""

    def set_connection(conn_id: str = "wisdomgate_default", **fields: Any) -> dict[str, Any]:
        extra = {"storage_path": str(tmp_path / "clips"), **fields.pop("extra", {})}
        connection = {"conn_type": "wisdomgate", "host": sandbox.url, "password": sandbox.api_key, "extra": extra}
        connection |= fields
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return connection

    return set_connection


@pytest.fixture
def connection(connect: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The default connection, to the sandbox, with a storage path in this test's folder."""
    return connect()


@pytest.fixture
def ca_bundle(tmp_path: Path) -> str:
    """The file of the authority that signs for ``tls_in_front_of``."""
    from support import AUTHORITY

    path = str(tmp_path / "ca.pem")
    AUTHORITY.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between tries, and nothing else."""
    from support import QUICK

    from airflow_provider_wisdomgate import hooks
    from airflow_provider_wisdomgate.ledger import driver
    from airflow_provider_wisdomgate.polling import decisions, rate_limit

    monkeypatch.setattr(rate_limit, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(hooks.WisdomGateHook, "retry_policy", QUICK)
    monkeypatch.setattr(driver, "DOWNLOAD_RETRIES", QUICK)
    monkeypatch.setattr(decisions, "CONTENT_DELAYS", (0.002, 0.02))
    monkeypatch.setattr(hooks, "CONTENT_GRACE", (0.002,) * 5)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the patience with a paid video that its gateway does not know end after five answers, not 15 minutes."""
    from airflow_provider_wisdomgate.polling import decisions

    monkeypatch.setattr(decisions, "PATIENCE_SINCE_CREATE", 0.0)
    monkeypatch.setattr(decisions, "PATIENCE_SINCE_FIRST", 0.0)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let everything that reads the time find it so many seconds later: worker, triggerer and gateway."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    def pass_by(seconds: float) -> None:
        ahead[0] += seconds

    return pass_by


@pytest.fixture
def hook(connection: dict[str, Any], quick: None) -> WisdomGateHook:
    """A hook on the default connection that tries four times within a blink."""
    from airflow_provider_wisdomgate.hooks import WisdomGateHook

    return WisdomGateHook()


@pytest.fixture
def context() -> Callable[..., dict[str, TaskInstance]]:
    """Make the context of a task instance that runs nowhere."""
    from support import TaskInstance

    return lambda **facts: {"ti": TaskInstance(**facts)}


@pytest.fixture
def generate(hook: WisdomGateHook, local: LocalPlace) -> Callable[..., WisdomGateGenerateVideoOperator]:
    """Make a generate operator for a small, quick clip; directives go into the prompt."""

    from support import asked

    from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

    def make(directives: str = "render=0", text: str = "a cat", **arguments: Any) -> WisdomGateGenerateVideoOperator:
        quick: dict[str, Any] = {"timeout": 60.0, "poll_interval": 0.01, "destination": local.uri("cat.mp4")}
        return WisdomGateGenerateVideoOperator(
            task_id="clip",
            model="any",
            prompt=asked(directives, text),
            seconds=1,
            size="64x48",
            **{**quick, **arguments},
        )

    return make


@pytest.fixture(scope="session")
def _s3_url() -> Iterator[str]:
    from s3_server import s3_server

    with s3_server() as url:
        yield url


@pytest.fixture
def s3(_s3_url: str, monkeypatch: pytest.MonkeyPatch) -> S3Place:
    """A bucket of this test's own, reached through the connection ``aws_default``."""
    from support import S3Place

    extra = {"endpoint_url": _s3_url, "region_name": "us-east-1"}
    aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    return S3Place(_s3_url)


@pytest.fixture
def local(tmp_path: Path) -> LocalPlace:
    """A folder of this test's own."""
    from support import LocalPlace

    return LocalPlace(tmp_path / "place")


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest) -> LocalPlace | S3Place:
    """Somewhere to put clips: a folder, then a bucket."""
    place: LocalPlace | S3Place = request.getfixturevalue(request.param)
    return place


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's metadata database in AIRFLOW_HOME, made once."""
    from airflow.configuration import AIRFLOW_HOME
    from airflow.utils.db import initdb

    assert os.environ["AIRFLOW_HOME"] == AIRFLOW_HOME, "something imported Airflow before tests/conftest.py"
    initdb()


@pytest.fixture
def supervisor(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's record of task instances, as a task or a trigger asks for it; see ``record``."""
    from recorded import Supervisor

    from airflow_provider_wisdomgate.links import AIRFLOW

    if AIRFLOW >= (3,):
        from airflow.sdk.execution_time import task_runner

        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)


@pytest.fixture
def record(supervisor: None) -> Callable[..., TaskInstance]:
    """Write task instances of one new run into Airflow's database."""
    from recorded import new_run

    return new_run()
