"""Answers one question: did a person end this task? Only then may ``delete_on_kill`` delete a video. In doubt: no.

Airflow stops a task's process, or cancels its trigger, for other reasons, too: a pod goes away, heartbeats fail,
another triggerer takes over. Only Airflow's record of the task instance shows the reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from airflow import __version__ as airflow_version

log = logging.getLogger(__name__)

# A person marks a task as failed or success; clearing a task that runs makes it "restarting". Every other state has
# another possible cause:
#   deferred                            another triggerer has the trigger
#   scheduled, queued, running, None    that triggerer resumed the task; a deferred task that is cleared looks the same,
#                                       and its next try goes on with the video
#   skipped                             dagrun_timeout, or a deferred task of a DAG that fails fast
#   up_for_retry                        the scheduler missed the task's heartbeats
#   removed                             the DAG file changed
SET_BY_PERSON = ("failed", "success", "restarting")


def is_ended_by_person(ti: Any) -> bool:
    """Return whether Airflow records that a person ended this task instance; False if that cannot be found out.

    Blocks. In a worker of Airflow 3 it asks the supervisor over the socket that the main thread uses, so call it in the
    main thread after the operator has noticed that it was killed, never in ``on_kill``: that runs inside the signal
    handler and may interrupt a message on this socket, which ends in a deadlock or in mixed-up answers. The supervisor
    answers until it kills the process, five seconds after SIGTERM.

    :param ti: the context's task instance, or a trigger's.
    """
    try:
        state = _recorded_state(ti)
    except Exception as error:
        log.warning("Airflow did not show whether a person ended this task, so it counts as not ended: %r", error)
        return False
    log.info("Airflow records this task as %s", state)
    return state in SET_BY_PERSON and not (state == "failed" and _fails_fast(ti))


async def is_ended_by_person_async(ti: Any) -> bool:
    """Ask :func:`is_ended_by_person` in a thread, from a trigger's ``on_kill`` with its ``self.task_instance``."""
    return await asyncio.to_thread(is_ended_by_person, ti)


_kills_in_progress: set[asyncio.Task[None]] = set()  # the event loop itself keeps no task alive


async def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run the work of a trigger's ``on_kill`` to its end, though Airflow cancels ``on_kill`` after about a second.

    Airflow 3.3 repeats a trigger's cancellation each time that the triggerer synchronizes. The second one ends
    ``on_kill`` silently, long before ``[triggerer] on_kill_timeout``. The work must limit its own time and catch its
    own errors; it is lost only if the triggerer itself ends.
    """
    task = asyncio.create_task(work)
    _kills_in_progress.add(task)
    task.add_done_callback(_kills_in_progress.discard)
    await asyncio.shield(task)


def _recorded_state(ti: Any) -> str | None:
    if airflow_version < "3":
        return _state_in_database(ti)
    # A trigger's task instance is a plain value without this method.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, map_index=ti.map_index, task_ids=[ti.task_id], run_ids=[ti.run_id]
    )
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    state: str | None = states[ti.run_id][name]
    return state


def _state_in_database(ti: Any) -> str | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    key = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    with create_session() as session:
        state: str | None = session.query(TaskInstance.state).filter_by(**key).one()[0]
    return state


def _fails_fast(ti: Any) -> bool:
    """Return whether another task's failure marks this task as failed. Airflow 2 calls it ``fail_stop``."""
    dag = getattr(getattr(ti, "task", None), "dag", None)
    return bool(getattr(dag, "fail_fast", False) or getattr(dag, "fail_stop", False))
