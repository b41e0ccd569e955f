"""Asks Airflow which task instances of a run make clips, in a few requests however many there are.

The API lists XComs without their values, so a run of 1,000 clips would cost 1,000 requests for their places.
The list of task instances has the rendered fields, and the place of a clip follows from them: see run_places.py. If it
does not, the XCom is read after all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from airflow_provider_wisdomgate.links import DESTINATION_KEY
from airflow_provider_wisdomgate.plugin.airflow_api import Airflow, RunRef, TaskRef

# Airflow cuts it to its own [api] maximum_page_limit (100, unless an admin raised it).
PAGE_LIMIT = 1000
# By these a task is known as one of ours, subclasses and @task.wisdomgate_video included.
OUR_FIELDS = {"destination", "wisdomgate_conn_id"}
RUNS_PER_PAGE = 10
AT_ONCE = 4


@dataclass(frozen=True)
class Instance:
    """A task instance that makes a clip.

    :param label: its name by ``map_index_template``, None if it has none.
    :param rendered: its rendered template fields; empty before it has begun, and once Airflow has forgotten them.
    :param state: None: not scheduled yet; an empty text: the viewer may not see it.
    :param since: when its try began, ISO 8601; likewise the next two.
    :param seen: the latest heartbeat of its triggerer. A trigger itself writes nothing between two polls.
    :param deferred: when its trigger was made.
    :param tries: how many of its tries were scheduled.
    """

    ref: TaskRef
    state: str | None
    label: str | None = None
    rendered: Mapping[str, Any] = field(default_factory=dict)
    since: str | None = None
    seen: str | None = None
    deferred: str | None = None
    tries: int = 0

    @property
    def name(self) -> str:
        if self.ref.map_index < 0:
            return self.ref.task_id
        return f"{self.ref.task_id} [{self.label or self.ref.map_index}]"


@dataclass(frozen=True)
class Run:
    """A run as a list shows it; times are ISO 8601."""

    ref: RunRef
    state: str | None
    at: str | None


async def instances_of(airflow: Airflow, run: RunRef) -> list[Instance]:
    """Return the task instances of a run that make clips, by task and map index.

    :raises RefusedError: the viewer may not see them.
    """
    tasks = await _clip_tasks(airflow, run)
    turns = asyncio.Semaphore(AT_ONCE)
    found = await asyncio.gather(*(_instances_of_task(airflow, run, task, turns) for task in tasks))
    # An Airflow that knows no filter by task answers each request with all of them: that is filtered here, too.
    known = {(each["task_id"], each["map_index"]): each for rows in found for each in rows if each["task_id"] in tasks}
    return [instance_of(run, known[key]) for key in sorted(known)]


async def runs_of(airflow: Airflow, dag_id: str, page: int) -> tuple[list[Run], int]:
    """Return a page of a DAG's runs, the latest first, and how many there are in all.

    :param page: counted from 1.
    :raises RefusedError: the viewer may not see them.
    """
    path = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns"
    offset = (page - 1) * RUNS_PER_PAGE
    found = await airflow.get(path, limit=RUNS_PER_PAGE, offset=offset, order_by="-run_after") or {}
    rows = [
        Run(RunRef(dag_id, each["dag_run_id"]), each.get("state"), each.get("run_after"))
        for each in found.get("dag_runs", ())
    ]
    return rows, int(found.get("total_entries") or 0)


async def _clip_tasks(airflow: Airflow, run: RunRef) -> list[str]:
    """Return the tasks of today's DAG that are ours, and those that have recorded a destination in this run.

    An older version of the DAG may have had others. The list is by map index, so that each task comes early in it.
    """
    dag = f"/api/v2/dags/{quote(run.dag_id, safe='')}"
    told = f"{run.api_path}/taskInstances/~/xcomEntries"
    tasks, entries = await asyncio.gather(
        airflow.get_if_allowed(f"{dag}/tasks"),
        airflow.get(told, xcom_key=DESTINATION_KEY, limit=PAGE_LIMIT, order_by="map_index"),
    )
    known = (tasks or {}).get("tasks", ())
    ours = {each["task_id"] for each in known if set(each.get("template_fields") or ()) > OUR_FIELDS}
    return sorted(ours | {each["task_id"] for each in (entries or {}).get("xcom_entries", ())})


async def _instances_of_task(
    airflow: Airflow, run: RunRef, task_id: str, turns: asyncio.Semaphore
) -> list[dict[str, Any]]:
    async def page(offset: int) -> dict[str, Any]:
        async with turns:
            path = f"{run.api_path}/taskInstances"
            return await airflow.get(path, task_id=task_id, limit=PAGE_LIMIT, offset=offset, order_by="map_index") or {}

    first = await page(0)
    rows: list[dict[str, Any]] = first.get("task_instances", [])
    if rows:
        rest = range(len(rows), int(first.get("total_entries") or 0), len(rows))
        for each in await asyncio.gather(*map(page, rest)):
            rows = rows + each.get("task_instances", [])
    return rows


def instance_of(run: RunRef, row: Mapping[str, Any]) -> Instance:
    """Read a task instance of the API."""
    ref = TaskRef(run.dag_id, run.run_id, row["task_id"], row["map_index"])
    rendered = row.get("rendered_fields")
    label = row.get("rendered_map_index")
    return Instance(
        ref,
        row.get("state"),
        label if isinstance(label, str) and label != str(ref.map_index) else None,
        rendered if isinstance(rendered, Mapping) else {},
        row.get("start_date"),
        (row.get("triggerer_job") or {}).get("latest_heartbeat"),
        (row.get("trigger") or {}).get("created_date"),
        row.get("try_number") or 0,
    )
