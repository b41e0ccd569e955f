"""The example DAGs through Airflow itself, with real deferral, against the sandbox."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import sha256

from airflow_provider_wisdomgate.links import AIRFLOW
from airflow_provider_wisdomgate.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "example_dags"


@pytest.fixture
def gateway(connect: Callable[..., Any]) -> Iterator[Sandbox]:
    """A gateway on which a video takes a moment, so that the tasks have something to be deferred for."""
    with Sandbox(render_seconds=0.5) as gateway:
        connect(host=gateway.url)
        yield gateway


def run(name: str, day: datetime | None = None, **more: Any) -> dict[str, list[Any]]:
    """Run an example to its end, polling often, and return what each task's instances returned."""
    dag = runpy.run_path(str(EXAMPLES / f"{name}.py"))["dag"]
    for task in dag.tasks:
        for pace in ("poll_interval", "poke_interval"):
            if hasattr(task, pace):
                setattr(task, pace, 0.1)
        if hasattr(task, "partial_kwargs"):
            task.partial_kwargs["poll_interval"] = 0.1
    dated = {} if day is None else {"logical_date" if AIRFLOW >= (3, 0) else "execution_date": day}
    ended = dag.test(**dated, **more)
    assert ended.state == "success"
    returned: dict[str, list[Any]] = {}
    for instance in sorted(ended.get_task_instances(), key=lambda each: each.map_index):
        value = instance.xcom_pull(task_ids=instance.task_id, map_indexes=instance.map_index)
        returned.setdefault(instance.task_id, []).append(value)
    return returned


def path_of(manifest: dict[str, Any]) -> Path:
    return Path(manifest["uri"].removeprefix("file://"))


def test_generate_video_defers_and_ends_with_the_clip_in_the_storage(
    airflow_db: None, gateway: Sandbox, tmp_path: Path
) -> None:
    (manifest,) = run("generate_video")["generate"]
    (video,) = gateway.videos()
    assert (manifest["video_id"], manifest["duration"], manifest["width"], manifest["height"]) == (
        video["id"],
        4.0,
        1280,
        720,
    )
    assert path_of(manifest).parent == tmp_path / "clips" / "paper-boat"
    assert sha256(path_of(manifest).read_bytes()) == manifest["sha256"]
    counts = gateway.counts()
    assert (counts["create_requests"], counts["downloads"], counts["polls"] >= 1) == (1, 1, True)


def test_three_tasks_create_wait_deferred_and_download_one_video(airflow_db: None, gateway: Sandbox) -> None:
    returned = run("generate_video_in_three_tasks")
    (video_id,), (video,), (manifest,) = returned["create"], returned["wait"], returned["download"]
    assert [each["id"] for each in gateway.videos()] == [video_id]
    assert (video["id"], video["status"], manifest["video_id"]) == (video_id, "completed", video_id)
    assert sha256(path_of(manifest).read_bytes()) == manifest["sha256"]
    assert (gateway.counts()["create_requests"], gateway.counts()["downloads"]) == (1, 1)


def test_many_prompts_make_one_clip_each(airflow_db: None, gateway: Sandbox) -> None:
    manifests = run("generate_many_videos")["generate"]
    assert [manifest["made_by"]["map_index"] for manifest in manifests] == [0, 1, 2]
    assert {path_of(manifest).name for manifest in manifests} == {f"generate-{index}.mp4" for index in range(3)}
    assert [sha256(path_of(manifest).read_bytes()) for manifest in manifests] == [
        manifest["sha256"] for manifest in manifests
    ]
    prompts = [video["prompt"] for video in gateway.videos()]
    assert sorted(prompts) == [f"A postcard from {city}, animated" for city in ("Lima", "Lisbon", "Osaka")]


@pytest.mark.skipif(AIRFLOW[:2] == (3, 0), reason="its dag.test() fails where no scheduler has activated the asset")
def test_a_second_backfill_of_a_day_asks_for_nothing(airflow_db: None, gateway: Sandbox, tmp_path: Path) -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
    # A run of "@daily" is about the day before it in Airflow 2, and about its own in Airflow 3.
    names = ["2025-12-31", "2026-01-01"] if AIRFLOW < (3, 0) else ["2026-01-01", "2026-01-02"]
    first = [run("daily_clip_backfill", day)["clip"] for day in days]
    asked = gateway.counts()
    assert [path_of(clip) for (clip,) in first] == [tmp_path / "clips" / "harbour" / f"{name}.mp4" for name in names]
    assert [run("daily_clip_backfill", day)["clip"] for day in days] == first
    assert (gateway.counts(), asked["creates"]) == (asked, 2)


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="every run of Airflow 2 has a date; 3.0: see above")
def test_a_run_by_hand_without_a_logical_date_makes_the_clip_of_its_day(airflow_db: None, gateway: Sandbox) -> None:
    ((clip,),) = run("daily_clip_backfill", logical_date=None, run_after=datetime(2026, 3, 4, tzinfo=UTC)).values()
    assert (path_of(clip).name, gateway.counts()["creates"]) == ("2026-03-04.mp4", 1)


def test_the_dag_in_the_readme_is_the_example_word_for_word() -> None:
    readme = (ROOT / "README.md").read_text()
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "DAG(" in block)
    assert block == (EXAMPLES / "generate_video.py").read_text()
    assert len(block.splitlines()) <= 20
