"""Task instances in Airflow's database, and what answers a process of Airflow that asks for their states."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from support import TaskInstance

from airflow_provider_wisdomgate.links import AIRFLOW


class Supervisor:
    """Answers a process of Airflow 3 as its supervisor does, out of Airflow's own API; keeps no socket busy."""

    def __init__(self) -> None:
        from airflow.sdk.api.client import Client
        from airflow.sdk.execution_time.supervisor import in_process_api_server

        self.client: Any = Client(base_url=None, token="", dry_run=True, transport=in_process_api_server().transport)
        self.client.base_url = "http://in-process.invalid./"

    def send(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import TaskStatesResult

        asked = message.model_dump(exclude={"type"})
        return TaskStatesResult.from_api_response(self.client.task_instances.get_task_states(**asked))


def new_run() -> Callable[..., TaskInstance]:
    """Write a new run; return what writes a task instance of it in a state."""
    run = f"manual__{time.time()}"
    insert("DagRun", dag_id="dag", run_id=run, run_type="manual", **{time_of_run(): datetime.now(UTC)})

    def record_state(state: str | None, map_index: int = -1, task_id: str = "clip") -> TaskInstance:
        key = {"dag_id": "dag", "run_id": run, "task_id": task_id, "map_index": map_index}
        insert("TaskInstance", **key, state=state, pool="default_pool")
        return TaskInstance(**key)

    return record_state


def time_of_run() -> str:
    return "run_after" if AIRFLOW >= (3,) else "execution_date"


def insert(model: str, **values: Any) -> None:
    from airflow.models import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        session.execute({"DagRun": DagRun, "TaskInstance": TaskInstance}[model].__table__.insert().values(**values))
