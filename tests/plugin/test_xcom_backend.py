"""The pages where a custom XCom backend keeps the values outside the database: tasks really run with one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mapped_runs import Left, airflow_app, leave, log_in

from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.links import DESTINATION_KEY
from airflow_provider_wisdomgate.sandbox import Sandbox

pytestmark = pytest.mark.needs("player")

# The first one's destination is another one each time it is rendered, also when the task resumes.
DAGS = """
from airflow.sdk import DAG, get_current_context, task
from airflow_provider_wisdomgate.links import tell_destination
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

small = {"model": "any", "seconds": 1, "size": "64x48", "poll_interval": 0.05}
with DAG("kept", schedule=None) as dag:
    Generate(task_id="one", prompt="a", destination="one/{{ macros.uuid.uuid4() }}.mp4", deferrable=True, **small)
    clips = Generate.partial(task_id="many", **small).expand(prompt=["b", "c"])

    @task
    def own(clips):
        tell_destination(get_current_context(), clips[1]["uri"])

    own(clips.output)

if __name__ == "__main__":
    run = dag.test()
    assert run.state == "success", run.state
    print(run.run_id)
"""


@dataclass(frozen=True)
class Site:
    """An API server that knows of no backend, after a run whose tasks had one, and a viewer of it."""

    vera: Any
    run: str
    clips: Path
    xcoms: Path

    def page(self, task: str, index: int = -1, what: str = "player") -> Any:
        return self.vera.get(f"/wisdomgate/ti/kept/{quote(self.run, safe='')}/{task}/{index}/{what}")

    def counts(self) -> dict[str, str]:
        page = self.vera.get(f"/wisdomgate/run/kept/{quote(self.run, safe='')}/videos").text
        return {name: number for number, name in re.findall(r"<strong>([^<]*)</strong> <span>([^<]*)</span></a>", page)}

    def xcom(self, task: str, key: str) -> Any:
        path = f"/api/v2/dags/kept/dagRuns/{quote(self.run, safe='')}/taskInstances/{task}/xcomEntries/{key}"
        return self.vera.get(path).json()["value"]

    def leave_references(self, stored_at: str | None) -> None:
        """Let the tasks have ended before operators wrote past the backend: there are references only."""
        reference = f"file://{self.xcoms}/kept/{self.run}/many/0b9c"
        xcoms = {"return_value": reference, DESTINATION_KEY: reference}
        rendered = {"destination": stored_at, "wisdomgate_conn_id": "wisdomgate_default"}
        leave("kept", self.run, [Left("many", index, "success", rendered, xcoms) for index in range(2)])


@pytest.fixture(scope="module")
def site(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kept")
    clips, xcoms, dags = folder / "clips", folder / "xcoms", folder / "dags"
    dags.mkdir()
    with Sandbox(render_seconds=0.3) as gateway, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(clips))
        with airflow_app(dags, DAGS, {"vera": "viewer"}) as app:
            # Deeper than what is served, so that no page can guess it.
            extra = {"storage_path": str(clips / "connection")}
            fields = {"conn_type": "wisdomgate", "host": gateway.url, "password": gateway.api_key, "extra": extra}
            worker = {
                "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
                "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
                "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{xcoms}",
                "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
                "AIRFLOW_CONN_WISDOMGATE_DEFAULT": json.dumps(fields),
            }
            command = [sys.executable, str(dags / "dags.py")]
            done = subprocess.run(
                command, env={**os.environ, **worker}, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
            yield Site(log_in(app, "vera"), done.stdout.splitlines()[-1], clips, xcoms)


def test_the_pages_find_the_clips_of_tasks_that_ran_with_a_custom_backend(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(site.xcoms) in site.xcom("one", "return_value")  # the backend was in use
    for is_known_here in (False, True):
        if is_known_here:
            backend = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
            monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", backend)
            monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{site.xcoms}")
        for task, index in (("one", -1), ("many", 0), ("many", 1), ("own", -1)):
            assert [site.page(task, index, what).status_code for what in ("player", "clip")] == [200, 200]
        assert site.counts()["stored"] == "4"


def test_a_task_resumes_at_the_place_that_it_told_before(site: Site) -> None:
    (uri,) = json.loads(site.xcom("one", DESTINATION_KEY)).values()
    clip = Path(uri.removeprefix("file://"))
    assert sorted(each.name for each in clip.parent.iterdir()) == [clip.name, f"{clip.name}.json"]


def test_clearing_an_xcom_deletes_no_clip_below_the_backends_path(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.io.xcom import backend
    from airflow.sdk.execution_time.comms import XComResult

    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{site.clips}")
    backend._get_base_path.cache_clear()
    value = site.xcom("own", DESTINATION_KEY)
    clips = sorted(site.clips.rglob("*.mp4"))
    backend.XComObjectStorageBackend.purge(XComResult(key=DESTINATION_KEY, value=value))
    assert sorted(site.clips.rglob("*.mp4")) == clips
    backend._get_base_path.cache_clear()


def test_where_only_references_were_left_the_place_is_worked_out_from_the_destination(site: Site) -> None:
    (stored,) = (site.clips / "connection").rglob("many-1.mp4")
    site.leave_references(str(stored))
    assert (site.page("many", 1).status_code, site.page("many", 1, "clip").content) == (200, stored.read_bytes())
    assert site.counts()["stored"] == "2"

    default = site.clips / default_name("kept", site.run, "many", 1)
    default.parent.mkdir(parents=True)
    for suffix in ("", ".json"):
        Path(f"{default}{suffix}").write_bytes(Path(f"{stored}{suffix}").read_bytes())
    site.leave_references(None)
    assert (site.page("many", 1).status_code, site.page("many", 0).status_code) == (200, 404)
    assert site.counts()["stored"] == "1"


def test_a_reference_is_never_opened_and_the_page_says_what_to_do(site: Site) -> None:
    (stored,) = (site.clips / "connection").rglob("many-0.mp4")
    site.leave_references("nowhere.mp4")
    kept = site.xcoms / "kept" / site.run / "many" / "0b9c"
    kept.write_text(json.dumps({"uri": str(stored)}))
    page = site.page("many", 0)
    assert (page.status_code, site.page("many", 0, "clip").status_code) == (404, 404)
    assert "a custom XCom backend left a reference" in page.text
    assert "Clear the task" in page.text
    run = site.vera.get(f"/wisdomgate/run/kept/{quote(site.run, safe='')}/videos?state=unknown").text
    assert "a custom XCom backend left a reference" in run
