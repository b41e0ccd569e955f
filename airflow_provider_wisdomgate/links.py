"""The button "Video" on our tasks. Asks nobody anything: the address follows from the task instance alone."""

from __future__ import annotations

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
# The XCom that says where a clip will be while its task still runs.
DESTINATION_KEY = "wisdomgate_destination"


def player_url(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return the player page of a task instance, relative to wherever Airflow's UI is mounted."""
    ids = (dag_id, run_id, task_id, str(-1 if map_index is None else map_index))
    return f"wisdomgate/ti/{'/'.join(quote(name, safe='') for name in ids)}/player"


def run_url(dag_id: str, run_id: str) -> str:
    """Return the page of all videos of a run, relative like the player's."""
    return f"wisdomgate/run/{quote(dag_id, safe='')}/{quote(run_id, safe='')}/videos"


def tell_destination(context: Any, uri: str) -> None:
    """Let the player find the manifest of a video before the task has returned anything."""
    if push := getattr(context.get("ti"), "xcom_push", None):
        push(DESTINATION_KEY, uri)


def told_destination(context: Any) -> str | None:
    """Return what :func:`tell_destination` said for this very task instance, None where nothing can be found."""
    ti = context.get("ti")
    if ti is None or not hasattr(ti, "xcom_pull"):
        return None
    told = ti.xcom_pull(task_ids=ti.task_id, key=DESTINATION_KEY, map_indexes=ti.map_index)
    return told if isinstance(told, str) else None


class WisdomGateVideoLink(BaseOperatorLink):
    """Leads to the player. The worker computes it after every state, the deferred one included."""

    name = "Video"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the link, "" where this Airflow has no player."""
        if not HAS_PLAYER:
            return ""
        return player_url(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
