"""Did a person end the task? Airflow's own API, or the database of Airflow 2, answers about rows of each state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support import TaskInstance

from airflow_provider_wisdomgate.killed import is_ended_by_person, is_ended_by_person_async, run_to_end
from airflow_provider_wisdomgate.links import AIRFLOW

NOT_BY_PERSON = (None, "deferred", "scheduled", "queued", "running", "skipped", "up_for_retry", "upstream_failed")
Record = Callable[..., TaskInstance]


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
