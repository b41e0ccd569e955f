"""Did a person end the task? Airflow's own API, or the database of Airflow 2, answers about rows of each state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from support import TaskInstance

from airflow_provider_wisdomgate.killed import is_ended_by_person, is_ended_by_person_async, run_to_end
from airflow_provider_wisdomgate.links import AIRFLOW

NOT_BY_PERSON = (None, "deferred", "scheduled", "queued", "running", "skipped", "up_for_retry", "upstream_failed")
Record = Callable[..., TaskInstance]


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


@pytest.fixture
def supervisor(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if AIRFLOW >= (3,):
        from airflow.sdk.execution_time import task_runner

        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)


@pytest.fixture
def record(supervisor: None) -> Record:
    """Write task instances of one new run into Airflow's database."""
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


@pytest.mark.parametrize("state", ["failed", "success", "restarting"])
def test_a_person_ended_a_task_that_is_marked_or_cleared_while_it_runs(record: Record, state: str) -> None:
    assert is_ended_by_person(record(state))


@pytest.mark.parametrize("state", NOT_BY_PERSON)
def test_no_person_ended_a_task_whose_state_airflow_sets_by_itself_too(record: Record, state: str | None) -> None:
    assert not is_ended_by_person(record(state))


def test_only_the_instance_itself_counts_among_the_instances_of_a_mapped_task(record: Record) -> None:
    instances = [record(state, number) for number, state in enumerate(["running", "failed", "running"])]
    record("failed", task_id="clip_0")
    assert [is_ended_by_person(ti) for ti in instances] == [False, True, False]


def test_a_task_that_a_failure_elsewhere_ended_was_not_ended_by_a_person(record: Record) -> None:
    ti: Any = record("failed")
    ti.task = SimpleNamespace(dag=SimpleNamespace(**{"fail_fast" if AIRFLOW >= (3,) else "fail_stop": True}))
    assert not is_ended_by_person(ti)


def test_a_task_instance_that_airflow_does_not_know_any_more_was_not_ended_by_a_person(supervisor: None) -> None:
    assert not is_ended_by_person(TaskInstance(run_id="deleted"))


def test_no_person_ended_a_task_if_airflow_does_not_answer() -> None:
    """No supervisor is there, and no task instance either."""
    assert not is_ended_by_person(TaskInstance() if AIRFLOW >= (3,) else None)
    assert not asyncio.run(is_ended_by_person_async(None))


def test_a_trigger_asks_without_blocking_its_loop(record: Record) -> None:
    async def ask() -> list[bool]:
        return await asyncio.gather(*(is_ended_by_person_async(ti) for ti in (failed, deferred)))

    failed, deferred = record("failed"), record("deferred", task_id="other")
    assert asyncio.run(ask()) == [True, False]


def test_the_work_of_a_kill_goes_on_though_the_triggerer_cancels_it_again() -> None:
    async def cancel_twice() -> list[str]:
        steps, begun, go_on, ended = [], asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            steps.append("asked")
            begun.set()
            await go_on.wait()
            steps.append("deleted")
            ended.set()

        on_kill = asyncio.create_task(run_to_end(work()))
        await begun.wait()
        on_kill.cancel("__airflow_user_action__")
        with pytest.raises(asyncio.CancelledError):
            await on_kill
        go_on.set()
        await ended.wait()
        return steps

    assert asyncio.run(asyncio.wait_for(cancel_twice(), 10)) == ["asked", "deleted"]
