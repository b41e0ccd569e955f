"""The simulated Airflow: tries, retries, clears and deferral around the real operators and the real trigger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger
from simulation.gateway import SETTINGS
from simulation.patches import Log
from simulation.patches import world as running_world
from simulation.plan import TaskSpec
from simulation.world import Process, World

LOG = Log()
COMMON = ("retries", "if_exists")
ARGUMENTS = {
    "download": (*COMMON, "video_id"),
    "generate": (*COMMON, "prompt", "on_lost_create", "deferrable", "timeout", "poll_interval", "delete_on_kill"),
}

_operators: dict[Any, Any] = {}


class TaskStateStore:
    """What Airflow 3.3 keeps for a task instance over its retries and clears."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kept: dict[str, str] = {}

    def _fail(self) -> None:
        self._world.pause(0.01)
        if self._world.strike("memory: error"):
            raise RuntimeError("Airflow's API is away")

    def get(self, key: str) -> Any:
        self._fail()
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key: str, value: Any) -> None:
        self._fail()
        self.kept[key] = json.dumps(value)
        self._world.books.remembered(value)

    def delete(self, key: str) -> None:
        self._fail()
        self.kept.pop(key, None)


class Task:
    """A task instance: what Airflow's database knows of it."""

    def __init__(self, world: World, spec: TaskSpec, number: int) -> None:
        self.world, self.spec, self.name = world, spec, spec.name
        self.run_id = f"run_{number}"
        self.try_number, self.max_tries = 0, spec.retries
        self.run_started = world.now + spec.start
        self.memory = TaskStateStore(world) if spec.has_memory else None
        self.current: Process | None = None
        self.round_began = self.run_started
        self.generation = 0
        self.ending: Any = None

    @property
    def made_by(self) -> tuple[Any, ...]:
        return (self.run_id, self.run_started, self.max_tries - self.spec.retries)


class Airflow:
    """Runs tasks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.tasks = [Task(world, spec, number) for number, spec in enumerate(world.plan.tasks)]
        world.on_death = self._died

    def begin(self) -> None:
        for task in self.wanted:
            self.start(task, task.spec.start)

    @property
    def wanted(self) -> list[Task]:
        """Return the tasks that were not shrunk away."""
        dropped = self._world.plan.dropped
        return [task for number, task in enumerate(self.tasks) if ("task", number) not in dropped]

    def start(self, task: Task, delay: float) -> None:
        """Start the next try of a task."""
        task.generation += 1
        task.try_number += 1
        task.ending = None
        name = f"{task.name} try {task.try_number}"
        task.current = self._world.spawn(name, task, lambda: self._run(task, self._execute), delay)

    def _execute(self, task: Task, operator: Any, context: dict[str, Any]) -> Any:
        return operator.execute(context)

    def _run(self, task: Task, step: Callable[[Task, Any, dict[str, Any]], Any]) -> None:
        process = self._world.process
        process.operator = operator = operator_of(task.spec)
        operator.__dict__["hook"] = SimHook()
        process.made_by = task.made_by
        process.spec = replace(task.spec)
        process.born, process.round_began = self._world.now, task.round_began
        self._world.note("begins")
        try:
            result = step(task, operator, context_of(task))
        except TaskDeferred as deferral:
            self._world.rules.try_ended(process, None)
            if task.current is process:
                self._defer(task, deferral)
        except Exception as error:
            self._world.rules.try_ended(process, error)
            if task.current is process:
                self._failed(task, error)
        else:
            self._world.rules.try_ended(process, None, result)
            if task.current is process:
                self._ended(task, "success")

    def _ended(self, task: Task, ending: Any) -> None:
        self._world.note("ENDS: %s", ending if isinstance(ending, str) else f"{type(ending).__name__}: {ending}")
        task.ending, task.current = ending, None

    def _failed(self, task: Task, error: Exception) -> None:
        self._world.note("fails: %s: %s", type(error).__name__, error)
        if isinstance(error, AirflowFailException) or task.try_number > task.max_tries:
            self._ended(task, error)
        else:
            self.start(task, task.spec.retry_delay)

    def _died(self, process: Process, is_zombie: bool) -> None:
        """Learn after a while that a process is dead, or seems to be."""
        delay = 5.0 + 295.0 * process.rng.random()
        generation = process.task.generation

        def learn() -> None:
            task = process.task
            if task.current is process and task.generation == generation and not (is_zombie and process.is_over):
                self._world.note("Airflow takes %s for dead", process.name)
                if process.name.startswith("triggerer"):
                    self._wait_in_triggerer(task, *process.deferral)
                else:
                    self._failed(task, RuntimeError("killed"))

        self._world.later(delay, learn)

    # deferral

    def _defer(self, task: Task, deferral: TaskDeferred) -> None:
        kwargs = json.loads(json.dumps(deferral.trigger.serialize()[1]))
        method_kwargs = json.loads(json.dumps(deferral.kwargs or {}))
        self._world.note("defers: %s", kwargs["video_id"])
        until = self._world.now + deferral.timeout.total_seconds()
        self._wait_in_triggerer(task, kwargs, deferral.method_name, method_kwargs, until)

    def _wait_in_triggerer(self, task: Task, kwargs: Any, method: str, method_kwargs: Any, until: float) -> None:
        task.generation += 1
        generation, world = task.generation, self._world
        process = world.spawn(f"triggerer for {task.name}", task, lambda: self._trigger(task, kwargs), 1.0)
        process.deferral = (kwargs, method, method_kwargs, until)
        task.current = process

        def time_out() -> None:
            if task.current is process and task.generation == generation:
                process.is_dead = True
                self._failed(task, RuntimeError("TaskDeferralTimeout"))

        world.later(max(until - world.now, 0.0), time_out)

    def _trigger(self, task: Task, kwargs: Any) -> None:
        process = self._world.process
        trigger = WisdomGateVideoTrigger(**kwargs)
        trigger._log = LOG
        try:
            trigger.run().asend(None).send(None)
        except StopIteration as ended:
            event = json.loads(json.dumps(ended.value.payload))
        if task.current is process:
            self._world.note("event: %s", event["outcome"])
            self._resume(task, event, process.deferral)

    def _resume(self, task: Task, event: Any, deferral: Any) -> None:
        _, method, kwargs, _ = deferral
        task.generation += 1
        delay = 5.0 * self._world.process.rng.random()

        def step(task: Task, operator: Any, context: dict[str, Any]) -> Any:
            return getattr(operator, method)(context, event=event, **kwargs)

        name = f"{task.name} try {task.try_number} resumed"
        task.current = self._world.spawn(name, task, lambda: self._run(task, step), delay)

    # what people do with tasks

    def kill(self, task: Task) -> None:
        """Let Airflow end what a task does now: SIGTERM, and SIGKILL 5 s later."""
        process, task.current = task.current, None
        if process is None or process.is_over:
            return
        if process.operator is not None:
            process.operator.on_kill()
            self._world.rouse(process)
            self._world.later(5.0, lambda: self._kill_for_good(process))
        else:
            process.is_dead = True
            if task.spec.delete_on_kill and hasattr(process, "deferral"):
                self._world.gateway.delete(process.deferral[0]["video_id"])  # as the trigger's on_kill does

    def _kill_for_good(self, process: Process) -> None:
        if not process.is_over and self._world.books.has_idle_claim(process):
            self._world.counts["killed: in a create's retry, leaving a claim that made nothing"] += 1
        process.is_dead = True

    def clear(self, task: Task, delay: float) -> None:
        self.kill(task)
        task.max_tries = task.try_number + task.spec.retries
        task.round_began = self._world.now
        self.start(task, delay)

    def recreate(self, task: Task, delay: float) -> None:
        """Delete a run and create it again under the same id."""
        self.kill(task)
        task.run_started = task.round_began = self._world.now
        task.try_number, task.max_tries = 0, task.spec.retries
        if task.memory is not None:
            task.memory = TaskStateStore(self._world)
        self.start(task, delay)


def operator_of(spec: TaskSpec) -> Any:
    """Return a new operator like one that never ran, with a task's arguments: building one takes Airflow long."""
    if spec.kind not in _operators:
        _operators[spec.kind] = _built_operator(spec)
    model = _operators[spec.kind]
    operator = object.__new__(type(model))
    operator.__dict__.update(model.__dict__, destination=spec.place)
    operator.__dict__.update({name: getattr(spec, name) for name in ARGUMENTS[spec.kind]})
    return operator


def _built_operator(spec: TaskSpec) -> Any:
    if spec.kind == "download":
        operator: Any = WisdomGateDownloadVideoOperator(task_id="clip", video_id="any")
    else:
        operator = WisdomGateGenerateVideoOperator(task_id="clip", model="sora-2", prompt="any")
    operator._cached_logger = LOG
    return operator


class SimHook(WisdomGateHook):
    """The hook that ships, with a simulated connection: reading it again finds the same."""

    _log = LOG

    @cached_property
    def settings(self) -> Settings:
        return SETTINGS

    @cached_property
    def client(self) -> Client:
        return running_world().gateway.client()


def context_of(task: Task) -> dict[str, Any]:
    started = datetime.fromtimestamp(task.run_started, UTC)
    ti = SimpleNamespace(
        dag_id="dag",
        run_id=task.run_id,
        task_id="clip",
        map_index=-1,
        max_tries=task.max_tries,
        try_number=task.try_number,
        start_date=datetime.fromtimestamp(task.world.now, UTC),
    )
    context: dict[str, Any] = {"ti": ti, "dag_run": SimpleNamespace(start_date=started)}
    if task.memory is not None:
        context["task_state_store"] = task.memory
    return context
