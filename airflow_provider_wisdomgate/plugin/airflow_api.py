"""Asks Airflow as the viewer: its own REST API, in this process. Never its database.

The API authenticates and authorises anew, and its session is closed before the first byte of a clip is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from airflow_provider_wisdomgate.links import DESTINATION_KEY
from airflow_provider_wisdomgate.plugin.served_paths import KINDS

RETURN_KEY = "return_value"
STRIP = 24
CREDENTIALS = ("cookie", "authorization")


@dataclass(frozen=True)
class RunRef:
    """Names a run of a DAG."""

    dag_id: str
    run_id: str

    @property
    def api_path(self) -> str:
        return f"/api/v2/dags/{quote(self.dag_id, safe='')}/dagRuns/{quote(self.run_id, safe='')}"


@dataclass(frozen=True)
class TaskRef:
    """Names a task instance. ``map_index`` -1: not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def api_path(self) -> str:
        return f"{self.run.api_path}/taskInstances/{quote(self.task_id, safe='')}"

    @property
    def run(self) -> RunRef:
        return RunRef(self.dag_id, self.run_id)


@dataclass(frozen=True)
class Told:
    """Where a task records the place of its clip.

    :param is_reference: it names another address instead, as a custom XCom backend leaves it. It is never opened:
        whoever may write XComs can forge one, and only the backend knows what it would run or read.
    """

    uri: str | None = None
    is_reference: bool = False


NO_ANSWER = 503


class RefusedError(Exception):
    """Airflow refused the viewer (HTTP 401 or 403), or did not answer (503)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Airflow:
    """The Airflow that this app is mounted in, with the viewer's credentials."""

    def __init__(self, app: Any, headers: Mapping[str, str]) -> None:
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._headers = {name: value for name in CREDENTIALS if (value := headers.get(name))}

    async def told(self, ti: TaskRef, keys: Sequence[str] = (RETURN_KEY, DESTINATION_KEY)) -> Told:
        """Return the recorded place of the task's clip, now or later: the first of its XComs that holds a clip's URI.

        :raises RefusedError: the viewer may not read the task's XComs.
        """
        is_reference = False
        for key in keys:
            try:
                entry = await self.get(f"{ti.api_path}/xcomEntries/{key}", map_index=ti.map_index)
            except RefusedError as error:
                if error.status != NO_ANSWER:
                    raise
                entry = None  # a value that Airflow cannot show: the other key's may do
            uri = uri_of((entry or {}).get("value"))
            if uri and os.path.splitext(uri)[1].lower() in KINDS:
                return Told(uri)
            is_reference = is_reference or "://" in (uri or "")
        return Told(None, is_reference)

    async def instance(self, ti: TaskRef) -> dict[str, Any] | None:
        """Return the task instance as the API shows it, None if there is none or the viewer may not see it."""
        return await self.get_if_allowed(ti.api_path if ti.map_index < 0 else f"{ti.api_path}/{ti.map_index}")

    async def siblings(self, ti: TaskRef) -> tuple[list[dict[str, Any]], int]:
        """Return a page of the mapped task's instances, the one that holds ``ti``, and how many there are in all."""
        page = max(ti.map_index, 0) // STRIP * STRIP
        path = f"{ti.api_path}/listMapped"
        found = await self.get_if_allowed(path, limit=STRIP, offset=page, order_by="map_index") or {}
        return [each for each in found.get("task_instances", ()) if each["map_index"] >= 0], found.get(
            "total_entries", 0
        )

    async def about(self, ti: TaskRef) -> tuple[dict[str, Any] | None, list[dict[str, Any]], int]:
        """Return the instance, its siblings and how many siblings there are."""
        row, (siblings, total) = await asyncio.gather(self.instance(ti), self.siblings(ti))
        return row, siblings, total

    async def get_if_allowed(self, path: str, **params: Any) -> dict[str, Any] | None:
        """Return what :meth:`get` returns, and None if the viewer is refused."""
        try:
            return await self.get(path, **params)
        except RefusedError:
            return None

    async def get(self, path: str, **params: Any) -> dict[str, Any] | None:
        """Return what the API answers, None for whatever is not there.

        :raises RefusedError: the viewer may not see it.
        """
        async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as client:
            answer = await client.get(path, params=params, headers=self._headers)
        if answer.status_code in (401, 403):
            raise RefusedError(answer.status_code)
        if answer.status_code >= 500:
            raise RefusedError(NO_ANSWER)  # half an answer would be shown as wrong sums
        found = answer.json() if answer.status_code == 200 else None
        return found if isinstance(found, dict) else None


def uri_of(value: Any) -> str | None:
    """Return the URI in an XCom's raw value: a manifest's ``uri``, or the value itself."""
    if isinstance(value, str) and value[:1] in ('"', "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    uri = value.get("uri") if isinstance(value, dict) else value
    return uri if isinstance(uri, str) and "/" in uri else None
