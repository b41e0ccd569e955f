"""The button "Video" on our tasks. Asks nobody anything: the address follows from the task instance alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

AIRFLOW = tuple(int(number) for number in re.findall(r"\d+", airflow_version)[:3])
# Older ones cannot mount a page of a plugin's where their UI is.
HAS_PLAYER = AIRFLOW >= (3, 1)
# The XCom that names the place of a clip while its task still runs.
DESTINATION_KEY = "wisdomgate_destination"


def player_url(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return the player page of a task instance, relative to wherever Airflow's UI is mounted."""
    ids = (dag_id, run_id, task_id, str(-1 if map_index is None else map_index))
    return f"wisdomgate/ti/{'/'.join(quote(name, safe='') for name in ids)}/player"


def run_url(dag_id: str, run_id: str) -> str:
    """Return the page of all videos of a run, relative like the player's."""
    return f"wisdomgate/run/{quote(dag_id, safe='')}/{quote(run_id, safe='')}/videos"


def tell_destination(context: Any, uri: str) -> None:
    """Let the player find the manifest of a video before the task has returned anything.

    Past a custom XCom backend, into the database itself: what such a one makes of a value, no page may follow.
    """
    ti = context.get("ti")
    if ti is None:
        return
    if plain := _plain_xcom():
        # Not the URI itself: when XComs are cleared, common.io's backend deletes what a value below its path points to.
        plain.set(key=DESTINATION_KEY, value=json.dumps({"uri": uri}), **_ids(ti))
    elif push := getattr(ti, "xcom_push", None):
        push(DESTINATION_KEY, uri)


def told_destination(context: Any) -> str | None:
    """Return what :func:`tell_destination` recorded for this very task instance, None if nothing can be found."""
    ti = context.get("ti")
    if ti is None or not hasattr(ti, "xcom_pull"):
        return None
    if plain := _plain_xcom():
        told = plain.get_one(key=DESTINATION_KEY, **_ids(ti))
        return str(json.loads(told)["uri"]) if isinstance(told, str) and told.startswith("{") else None
    told = ti.xcom_pull(task_ids=ti.task_id, key=DESTINATION_KEY, map_indexes=ti.map_index)
    return told if isinstance(told, str) else None


def _plain_xcom() -> Any:
    """Return Airflow's own XCom class if a custom backend takes its place, else None."""
    if AIRFLOW < (3,):
        return None
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    return None if XCom is BaseXCom else BaseXCom


def _ids(ti: Any) -> dict[str, Any]:
    return {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": ti.map_index}


class WisdomGateVideoLink(BaseOperatorLink):
    """Leads to the player. The worker computes it after every state, the deferred one included."""

    name = "Video"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the link, "" if this Airflow has no player."""
        if not HAS_PLAYER:
            return ""
        return player_url(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
