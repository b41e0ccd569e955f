"""The pages for viewers who may not see everything, and where Airflow gives no answer or an odd one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mapped_runs import RUN, Left, airflow_app, leave, log_in, start_run
from support import put_manifest

from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.links import DESTINATION_KEY

pytestmark = pytest.mark.needs("player")

EARLIER = "manual__2025-12-31T00:00:00+00:00"
COUNT = 25
DAGS = f"""
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

with DAG("partly", schedule=None):
    Generate(task_id="clip", model="any", prompt="a cat")
    Generate.partial(task_id="many", model="any").expand(prompt=[str(number) for number in range({COUNT})])
"""
REFUSED = ("no_task", "no_run", "no_task_instance", "no_xcom", "once_xcom")
RENDERED = {"destination": None, "wisdomgate_conn_id": "wisdomgate_default"}
DAG_PAGE = "/wisdomgate/dag/partly/videos"
RUN_PAGE = f"/wisdomgate/run/partly/{quote(RUN, safe='')}/videos"


def player(index: int = -1, task: str = "clip", what: str = "player") -> str:
    return f"/wisdomgate/ti/partly/{quote(RUN, safe='')}/{task}/{index}/{what}"


@pytest.fixture(scope="module")
def app(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    users = {"ada": "admin", "vera": "viewer", **dict.fromkeys(REFUSED, "viewer")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "partial_rights.PartialRights")
        with airflow_app(tmp_path_factory.mktemp("dags"), DAGS, users) as app:
            ada = log_in(app, "ada")
            start_run(ada, "partly", RUN)
            start_run(ada, "partly", EARLIER, "2025-12-31T00:00:00Z")
            yield app


@pytest.fixture
def as_user(app: Any, clips: Path) -> Callable[[str], Any]:
    """Log in; the clips of a run are there, each in its default place, and one has told it."""
    for index in range(COUNT):
        record(clips, index)
    told = record(clips, -1, "clip")
    many = [Left("many", index, "success", RENDERED) for index in range(COUNT)]
    leave("partly", RUN, [Left("clip", -1, "success", RENDERED, {DESTINATION_KEY: f"file://{told}"}), *many])
    return lambda name: log_in(app, name)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(tmp_path / "clips"))
    return tmp_path / "clips"


def record(clips: Path, index: int, task: str = "many", phase: Any = "stored", **facts: Any) -> Path:
    path = clips / default_name("partly", RUN, task, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    if phase == "stored":
        path.write_bytes(bytes(1000))
    made_by = {"dag_id": "partly", "run_id": RUN}
    facts = {"video_id": "video_1", "size": 1000, "claimed_at": 1.0, "made_by": made_by, **facts}
    put_manifest(Manifest(phase=phase, claim_id="c", uri=str(path), **facts))
    return path


def numbers(text: str) -> dict[str, str]:
    return {name: number for number, name in re.findall(r"<strong>([^<]*)</strong> <span>([^<]*)</span></a>", text)}


def words(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


# --------------------------------------------------------------------------------------- who may not see it


def test_each_page_is_refused_to_who_may_not_see_what_it_is_made_of(as_user: Callable[[str], Any]) -> None:
    asked = {
        user: [as_user(user).get(page).status_code for page in (DAG_PAGE, RUN_PAGE, player(), player(what="clip"))]
        for user in ("vera", *REFUSED[:4])
    }
    assert asked == {
        "vera": [200, 200, 200, 200],
        "no_task": [200, 200, 200, 200],
        "no_run": [403, 200, 200, 200],
        "no_task_instance": [403, 403, 200, 200],  # the place of a clip is in its XCom
        "no_xcom": [403, 403, 403, 403],
    }


def test_who_may_not_see_tasks_sees_the_clips_that_told_their_place(as_user: Callable[[str], Any]) -> None:
    assert numbers(as_user("vera").get(RUN_PAGE).text)["stored"] == str(COUNT + 1)
    assert numbers(as_user("no_task").get(RUN_PAGE).text)["stored"] == "1"


def test_who_may_not_see_task_instances_sees_no_siblings(as_user: Callable[[str], Any]) -> None:
    assert as_user("vera").get(player(task="many")).status_code == 200
    assert as_user("no_task_instance").get(player(task="many")).status_code == 404


def test_a_right_that_is_taken_away_meanwhile_ends_the_page(as_user: Callable[[str], Any]) -> None:
    assert as_user("once_xcom").get(player()).status_code == 403


# ---------------------------------------------------------------------------------- what Airflow cannot say


def write_raw(table: str, column: str, text: str, more: str = "") -> None:
    """Write a value past Airflow's own checks, as an older version or another program may have left it."""
    from airflow.utils.session import create_session
    from sqlalchemy import text as sql

    with create_session() as session:
        where = f"dag_id = 'partly' AND run_id = '{RUN}' {more}"
        session.execute(sql(f"UPDATE {table} SET {column} = :text WHERE {where}"), {"text": text})


def test_a_run_that_airflow_cannot_show_is_503_and_not_a_wrong_sum(as_user: Callable[[str], Any]) -> None:
    vera = as_user("vera")
    write_raw("task_instance", "state", "no such state")
    assert [vera.get(page).status_code for page in (RUN_PAGE, DAG_PAGE, player())] == [503, 503, 200]


def test_an_xcom_that_airflow_cannot_show_hides_no_clip_that_another_one_names(
    as_user: Callable[[str], Any], clips: Path
) -> None:
    place = clips / default_name("partly", RUN, "clip", -1)
    vera = as_user("vera")
    told = {"return_value": {"uri": "?"}, DESTINATION_KEY: f"file://{place}"}
    leave("partly", RUN, [Left("clip", -1, "success", RENDERED, told)])
    write_raw("xcom", "value", "no JSON", "AND key = 'return_value'")
    assert [vera.get(player(what=what)).status_code for what in ("player", "clip")] == [200, 200]
    write_raw("xcom", "value", "no JSON")
    assert vera.get(player()).status_code == 404


@pytest.mark.parametrize("value", ['{"uri": "/half', '"/half', "{", "{}", '"', '{"uri": 7}', "[]"])
def test_an_xcom_that_names_no_place_is_none(value: str, as_user: Callable[[str], Any]) -> None:
    vera = as_user("vera")
    leave("partly", RUN, [Left("clip", -1, "success", RENDERED, {"return_value": "x"})])
    write_raw("xcom", "value", json.dumps(value))
    assert vera.get(player()).status_code == 404


# ------------------------------------------------------------------------------------------- large and early


def test_all_task_instances_are_counted_however_few_airflow_lists_at_a_time(
    as_user: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__MAXIMUM_PAGE_LIMIT", "10")
    found = numbers(as_user("vera").get(RUN_PAGE).text)
    assert (found["wanted"], found["stored"]) == (str(COUNT + 1), str(COUNT + 1))


def test_a_dags_page_counts_no_more_clips_once_it_has_counted_many(
    as_user: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wisdomgate.plugin import app as routes

    assert "Many clips" not in as_user("vera").get(DAG_PAGE).text
    monkeypatch.setattr(routes, "MAX_CLIPS", COUNT)
    page = as_user("vera").get(DAG_PAGE).text
    (row,) = re.findall(r"<tr>(?:(?!</tr>).)*Many clips.*?</tr>", page, re.DOTALL)
    assert (RUN in row, "open the run to count them" in row, row.count("<td")) == (True, True, 3)


CLAIM = {"video_id": None, "claim_seconds": 600.0}
SENT = "A create is in progress."
MADE = "The video is paid for; it is being made or waits to be fetched."
EARLY: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "asked for": ("running", "creating", CLAIM, "Being requested", f"{SENT} The task is running."),
    "in the making": ("deferred", "created", {}, "In progress", f"{MADE} Video video_1. The task is deferred."),
    "asked, task over": (
        "failed",
        "creating",
        CLAIM,
        "Being requested",
        "A create is in progress. The task is failed.",
    ),
    "made, task over": ("failed", "created", {}, "paid, not fetched", "no task waits for it: clear the task"),
}


@pytest.mark.parametrize("what", EARLY)
def test_a_clip_that_is_not_there_yet_says_how_far_it_is(what: str, as_user: Callable[[str], Any], clips: Path) -> None:
    state, phase, facts, on_player, on_run = EARLY[what]
    vera = as_user("vera")
    path = record(clips, -1, "clip", phase, claimed_at=time.time(), **facts)
    leave("partly", RUN, [Left("clip", -1, state, RENDERED, {DESTINATION_KEY: f"file://{path}"})])
    assert on_player in words(vera.get(player()).text)
    assert on_run in words(vera.get(RUN_PAGE).text)
