"""Registers the player with Airflow. Every process of Airflow's imports this, so it imports nothing of the player.

Workers and schedulers never load FastAPI for it: the app behind the mount is imported by the first request.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_wisdomgate.links import HAS_PLAYER

# Where the app finds the Airflow that it is mounted in: Starlette overwrites "app" on the way in.
AIRFLOW_KEY = "wisdomgate.airflow"
# No leading slash: it then resolves below whatever prefix the UI is served under. Ids in the path: in a query, 3.1
# turns the "+" of a default run id into a space.
# A tab's route is its own, also between pages: core looks it up by name alone.
TABS = (
    ("Video", "task_instance", "video", "wisdomgate/ti/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}/player?tab"),
    ("Videos", "dag_run", "videos", "wisdomgate/run/{DAG_ID}/{RUN_ID}/videos?tab"),
    ("Videos", "dag", "dag-videos", "wisdomgate/dag/{DAG_ID}/videos?tab"),
)


class LazyApp:
    """An ASGI app that is imported when it is first asked for something."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""
        from airflow_provider_wisdomgate.plugin.app import app

        await app({**scope, AIRFLOW_KEY: scope["app"]}, receive, send)


def tabs() -> list[dict[str, str]]:
    """Return the tabs, if somebody wants them: core shows them on every task, run and DAG."""
    if not (HAS_PLAYER and conf.getboolean("wisdomgate", "video_tab", fallback=False)):
        return []
    return [
        {"name": name, "destination": destination, "url_route": route, "href": href}
        for name, destination, route, href in TABS
    ]


class WisdomGatePlugin(AirflowPlugin):
    """The pages of clips, runs and DAGs, and their tabs."""

    name = "wisdomgate"
    fastapi_apps = [{"name": "wisdomgate", "app": LazyApp(), "url_prefix": "/wisdomgate"}] if HAS_PLAYER else []
    external_views = tabs()
