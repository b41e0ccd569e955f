"""The routes of the player, of a run's page and of a DAG's. Only the API server imports this.

Each route asks Airflow whether the viewer may see the DAG. A client names a task instance or a run, never a file.
All that is not served gets one and the same 404.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.providers.common.compat.sdk import conf
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from airflow_provider_wisdomgate.exceptions import StorageError
from airflow_provider_wisdomgate.links import AIRFLOW
from airflow_provider_wisdomgate.plugin import AIRFLOW_KEY
from airflow_provider_wisdomgate.plugin.airflow_api import Airflow, RefusedError, RunRef, TaskRef
from airflow_provider_wisdomgate.plugin.clip_finder import FoundClip, find_clip
from airflow_provider_wisdomgate.plugin.dag_page import DagView, dag_page
from airflow_provider_wisdomgate.plugin.labels import UNREADABLE
from airflow_provider_wisdomgate.plugin.layout import STYLE_HASH
from airflow_provider_wisdomgate.plugin.pages import PlayerView, page
from airflow_provider_wisdomgate.plugin.ranges import OutOfRangeError, parse_range
from airflow_provider_wisdomgate.plugin.run_api import Instance, Run, instance_of, runs_of
from airflow_provider_wisdomgate.plugin.run_clips import clips_of, likely_places
from airflow_provider_wisdomgate.plugin.run_page import RunView, run_page
from airflow_provider_wisdomgate.plugin.run_sums import Sums, clip_of, sums_of
from airflow_provider_wisdomgate.plugin.served_paths import prefixes_of

log = logging.getLogger(__name__)

# Until then the frame's sandbox had no "allow-downloads".
FRAME_ALLOWS_DOWNLOAD = AIRFLOW >= (3, 3, 2)
# Clips that a DAG's page reads: older runs are counted on their own pages.
MAX_CLIPS = 1000
STRICT = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_HEADERS = {
    **STRICT,
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": f"default-src 'none'; media-src 'self'; style-src 'sha256-{STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
}
MEDIA_HEADERS = {
    **STRICT,
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'self'",
    # Starlette 0.46 compresses even a 206, and drops its length.
    "Content-Encoding": "identity",
    "Accept-Ranges": "bytes",
}

may_see_the_dag = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[may_see_the_dag])


def task_of(dag_id: str, run_id: str, task_id: str, map_index: str) -> TaskRef:
    """Read the ids of the path. Airflow leaves ``{MAP_INDEX}`` as it is for a task that is not mapped."""
    if "~" in (dag_id, run_id, task_id):
        raise HTTPException(404)  # Airflow's authorization takes it as "any DAG"
    return TaskRef(dag_id, run_id, task_id, int(map_index) if re.fullmatch("[0-9]{1,9}", map_index) else -1)


TaskOfPath = Annotated[TaskRef, Depends(task_of)]


@app.get("/ti/{dag_id}/{run_id}/{task_id}/{map_index}/player")
async def player(request: Request, ti: TaskOfPath) -> Response:
    """Show the clip of a task instance, or why there is none."""
    airflow = _airflow(request)
    found, is_reference = await _find(airflow, ti)
    row, siblings, total = await airflow.about(ti)
    clip = replace(clip_of(instance_of(ti.run, row) if row else Instance(ti, ""), found), is_reference=is_reference)
    is_tab = "tab" in request.query_params
    may_download = FRAME_ALLOWS_DOWNLOAD or not is_tab
    view = PlayerView(ti, clip, siblings, total, time.time(), is_tab, may_download)
    is_something = found is not None or (siblings and ti.map_index < 0)
    return HTMLResponse(page(view), 200 if is_something else 404, PAGE_HEADERS)


@app.api_route("/ti/{dag_id}/{run_id}/{task_id}/{map_index}/clip", methods=["GET", "HEAD"])
async def clip(request: Request, ti: TaskOfPath) -> Response:
    """Send the clip, or the part of it that a Range header names."""
    found, _ = await _find(_airflow(request), ti)
    if found is None or not found.is_playable:
        raise HTTPException(404)
    return _send(request, found, int(found.size or 0))


def run_of(dag_id: str, run_id: str) -> RunRef:
    """Read the ids of the path."""
    if "~" in (dag_id, run_id):
        raise HTTPException(404)
    return RunRef(dag_id, run_id)


@app.get("/run/{dag_id}/{run_id}/videos")
async def run(request: Request, run: Annotated[RunRef, Depends(run_of)]) -> Response:
    """Show the state of all clips of a run."""
    try:
        clips = await clips_of(_airflow(request), run, _prefixes())
    except RefusedError as error:
        raise HTTPException(error.status) from error
    choice = request.query_params.get("state", "")
    view = RunView(run, clips, sums_of(clips), choice, _page(request), time.time(), "tab" in request.query_params)
    return HTMLResponse(run_page(view), 200 if clips else 404, PAGE_HEADERS)


@app.get("/dag/{dag_id}/videos")
async def dag(request: Request, dag_id: str) -> Response:
    """Show the latest runs of a DAG."""
    if dag_id == "~":
        raise HTTPException(404)
    airflow, number = _airflow(request), _page(request)
    try:
        runs, total = await runs_of(airflow, dag_id, number)
        rows = await _count(airflow, runs)
    except RefusedError as error:
        raise HTTPException(error.status) from error
    view = DagView(dag_id, rows, total, number, "tab" in request.query_params)
    return HTMLResponse(dag_page(view), 200 if rows else 404, PAGE_HEADERS)


async def _count(airflow: Airflow, runs: list[Run]) -> list[tuple[Run, Sums | None]]:
    rows: list[tuple[Run, Sums | None]] = []
    count = 0
    for each in runs:
        clips = await clips_of(airflow, each.ref, _prefixes()) if count < MAX_CLIPS else None
        rows.append((each, None if clips is None else sums_of(clips)))
        count += len(clips or ())
    return rows


def _page(request: Request) -> int:
    asked = request.query_params.get("page", "")
    return max(1, int(asked)) if re.fullmatch("[0-9]{1,6}", asked) else 1


def _airflow(request: Request) -> Airflow:
    return Airflow(request.scope[AIRFLOW_KEY], request.headers)


async def _find(airflow: Airflow, ti: TaskRef) -> tuple[FoundClip | None, bool]:
    """Return what is found, and whether the task's XCom is a reference of a custom XCom backend."""
    prefixes = _prefixes()
    try:
        told = await airflow.told(ti)
        places = [told.uri] if told.uri else await likely_places(airflow, ti, prefixes) if told.is_reference else []
        return await asyncio.to_thread(_first, places, ti.dag_id, prefixes), told.is_reference
    except RefusedError as error:
        raise HTTPException(error.status) from error
    except StorageError as error:
        log.warning("%s", error)
        raise HTTPException(503, UNREADABLE) from error


def _first(places: Sequence[str], dag_id: str, prefixes: Sequence[str]) -> FoundClip | None:
    found = (find_clip(place, dag_id, prefixes) for place in places)
    return next((each for each in found if each), None)


def _prefixes() -> tuple[str, ...]:
    options = (conf.get("wisdomgate", name, fallback=None) for name in ("storage_path", "served_paths"))
    return prefixes_of(*options)


def _send(request: Request, found: FoundClip, size: int) -> Response:
    sha256 = str(found.manifest.sha256 if found.manifest else None)
    validator = f'"{sha256 if re.fullmatch("[0-9A-Za-z]{1,64}", sha256) else None}"'
    headers = {**MEDIA_HEADERS, "ETag": validator, "Content-Disposition": _disposition(request, found)}
    asked = request.headers.get("range") if request.headers.get("if-range") in (None, validator) else None
    try:
        part = parse_range(asked, size)
    except OutOfRangeError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, end = part or (0, size)
    headers |= {"Content-Length": str(end - start), "Content-Type": str(found.location.kind)}
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(found.chunks(start, end), status, headers)


def _disposition(request: Request, found: FoundClip) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(found.location.uri))
    return f'{"attachment" if "download" in request.query_params else "inline"}; filename="{name}"'
