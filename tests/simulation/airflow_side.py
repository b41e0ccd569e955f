"""The simulated Airflow: tries, retries, clears and deferral around the real operators and the real trigger."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wisdomgate.control import StopFlag
from airflow_provider_wisdomgate.exceptions import ConfigurationError
from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger
from simulation.gateway import SETTINGS
from simulation.patches import Log
from simulation.patches import world as running_world
from simulation.plan import TaskSpec
from simulation.world import Killed, Process, World

LOG = Log()
# The folder of the bucket that a storage path is moved to.
MOVED = "moved"
COMMON = ("retries", "if_exists", "delete_after_download")
ARGUMENTS = {
    "download": (*COMMON, "video_id"),
    "generate": (
        *(*COMMON, "prompt", "on_gone", "on_moderated_output", "on_lost_create"),
        *("deferrable", "timeout", "poll_interval", "delete_on_kill"),
    ),
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
        self.run_id = "run_0" if spec.map_index >= 0 else f"run_{number}"
        self.try_number, self.max_tries = 0, spec.retries
        self.run_started = world.now + spec.start
        self.memory = TaskStateStore(world) if spec.has_memory else None
        self.current: Process | None = None
        self.round_began = self.run_started
        self.generation = 0
        self.ending: Any = None
        self.round = self.tries = 0
        self.try_began = self.ended_at = 0.0
        self.state: str | None = None  # as Airflow records it
        self.unknown: dict[str, tuple[float, int]] = {}  # video -> since when, and how often it was not known in a row

    def begin_round(self) -> None:
        self.round += 1
        self.tries = 0
        self.round_began = self.world.now

    @property
    def round_id(self) -> tuple[Any, ...]:
        return (self.name, self.run_started, self.round)

    @property
    def as_tried(self) -> TaskSpec:
        """What the DAG's file says at this try."""
        spec, is_later = self.spec, self.tries > 1 and self.world.faults_on
        if is_later and "task: prompt changes" in spec.traits:
            spec = replace(spec, prompt=f"{spec.prompt}, at try {self.tries}")
        if is_later and "task: retries change" in spec.traits:
            spec = replace(spec, retries=spec.retries + 1)
        if is_later and "task: storage moves" in spec.traits:
            spec = replace(spec, place=f"{MOVED}/{spec.place}")
        return spec


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
        task.tries += 1
        task.ending = None
        task.unknown.clear()
        name = f"{task.name} try {task.try_number}"
        task.current = self._world.spawn(name, task, lambda: self._run(task, self._execute), delay)

    def _execute(self, task: Task, operator: Any, context: dict[str, Any]) -> Any:
        task.try_began = self._world.now
        return operator.execute(context)

    def _run(self, task: Task, step: Callable[[Task, Any, dict[str, Any]], Any]) -> None:
        process = self._world.process
        spec = task.as_tried
        process.operator = operator = operator_of(spec, task.spec.place)
        operator.__dict__["hook"] = SimHook()
        process.spec, process.round = spec, task.round_id
        process.storage_path = f"sim://bucket/{MOVED}" if spec.place != task.spec.place else SETTINGS.storage_path
        process.has_image = task.tries <= 1 or not self._world.faults_on or "task: image disappears" not in spec.traits
        process.born, process.round_began = self._world.now, task.round_began
        task.state = "running"
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
        task.ended_at = self._world.now
        task.state = "success" if ending == "success" else "failed"

    def _failed(self, task: Task, error: Exception) -> None:
        self._world.note("fails: %s: %s", type(error).__name__, error)
        if isinstance(error, AirflowFailException) or task.try_number > task.max_tries:
            self._ended(task, error)
        else:
            task.state = "up_for_retry"
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
        task.state = "deferred"

        def time_out() -> None:
            if task.current is process and task.generation == generation:
                process.is_dead = True
                self._failed(task, RuntimeError("TaskDeferralTimeout"))

        world.later(max(until - world.now, 0.0), time_out)

    def _trigger(self, task: Task, kwargs: Any) -> None:
        process = self._world.process
        process.trigger = trigger = WisdomGateVideoTrigger(**kwargs)
        trigger._log = LOG
        trigger.task_instance = context_of(task)["ti"]
        process.spec, process.round = task.as_tried, task.round_id
        try:
            trigger.run().asend(None).send(None)
        except StopIteration as ended:
            event = json.loads(json.dumps(ended.value.payload))
        if task.current is process or process.shadow_of is task.current is not None:
            self._world.note("event: %s", event["outcome"])
            self._resume(task, event, process.deferral)

    def _resume(self, task: Task, event: Any, deferral: Any) -> None:
        _, method, kwargs, _ = deferral
        task.generation += 1
        task.state = "scheduled"
        delay = 5.0 * self._world.process.rng.random()

        def step(task: Task, operator: Any, context: dict[str, Any]) -> Any:
            return getattr(operator, method)(context, event=event, **kwargs)

        name = f"{task.name} try {task.try_number} resumed"
        task.current = self._world.spawn(name, task, lambda: self._run(task, step), delay)

    def take_over(self, process: Process) -> None:
        """Let another triggerer start a wait while this one goes on, or is cancelled with a user's words."""
        task, is_cancelled = process.task, process.rng.random() < 0.5
        if task.current is not process:
            return
        self._world.note("another triggerer takes over")
        self._wait_in_triggerer(task, *process.deferral)
        process.shadow_of = task.current
        if is_cancelled:
            self._on_kill(process.trigger)
            raise Killed

    def _on_kill(self, trigger: Any) -> None:
        with suppress(StopIteration):
            trigger.on_kill().send(None)

    # what people do with tasks

    def mark_failed(self, task: Task) -> None:
        """Kill a task, and leave it at that."""
        if task.current is not None:
            task.state = self._world.people.rng.choice(("failed", "success"))
            self.kill(task)
            task.ending = "killed"

    def kill(self, task: Task) -> None:
        """Let Airflow end what a task does now: SIGTERM, and SIGKILL 5 s later."""
        process, task.current = task.current, None
        if process is None or process.is_over:
            return
        process.is_killed = True
        if process.operator is not None:
            process.operator.on_kill()
            self._world.rouse(process)
            self._world.later(5.0, lambda: self._kill_for_good(process))
        else:
            process.is_dead = True
            if process.trigger is not None:
                self._end_trigger(task, process)

    def _end_trigger(self, task: Task, process: Process) -> None:
        """Let the triggerer learn that its trigger is not wanted any more."""

        def run() -> None:
            by = self._world.process
            by.spec, by.round, by.is_killed = process.spec, process.round, True
            self._on_kill(process.trigger)

        self._world.spawn(f"triggerer's kill of {task.name}", task, run, 1.0)

    def _kill_for_good(self, process: Process) -> None:
        if not process.is_over and self._world.books.has_idle_claim(process):
            self._world.counts["killed: in a create's retry, leaving a claim that made nothing"] += 1
        process.is_dead = True

    def recorded_state(self, ti: Any) -> str | None:
        """Return what Airflow records of a task instance."""
        self._world.pause(0.01)
        return next(t.state for t in self.tasks if (t.run_id, t.spec.map_index) == (ti.run_id, ti.map_index))

    def clear(self, task: Task, delay: float) -> None:
        task.state = "restarting" if task.state == "running" else None
        self.kill(task)
        task.max_tries = task.try_number + task.spec.retries
        task.begin_round()
        self.start(task, delay)

    def recreate(self, task: Task, delay: float) -> None:
        """Delete a run and create it again under the same id."""
        self.kill(task)
        task.run_started = self._world.now
        task.begin_round()
        task.try_number, task.max_tries = 0, task.spec.retries
        if task.memory is not None:
            task.memory = TaskStateStore(self._world)
        self.start(task, delay)


def operator_of(spec: TaskSpec, destination: str) -> Any:
    """Return a new operator like one that never ran, with a task's arguments: building one takes Airflow long."""
    if spec.kind not in _operators:
        _operators[spec.kind] = _built_operator(spec)
    model = _operators[spec.kind]
    operator = object.__new__(type(model))
    operator.__dict__.update(model.__dict__, destination=destination)
    operator.__dict__["_stop"] = StopFlag()
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
    def client(self) -> Client:
        return running_world().gateway.client(self.settings)

    def create_call(self, model: str, prompt: str, fields: Any) -> Any:
        if not running_world().process.has_image:
            raise ConfigurationError("input_reference: there is no such file.")
        return super().create_call(model, prompt, fields)


def context_of(task: Task) -> dict[str, Any]:
    started = datetime.fromtimestamp(task.run_started, UTC)
    ti = SimpleNamespace(
        dag_id="dag",
        run_id=task.run_id,
        task_id="clip",
        map_index=task.spec.map_index,
        max_tries=task.max_tries,
        try_number=task.try_number,
        start_date=datetime.fromtimestamp(task.world.now, UTC),
    )
    context: dict[str, Any] = {"ti": ti, "dag_run": SimpleNamespace(start_date=started)}
    if task.memory is not None:
        context["task_state_store"] = task.memory
    return context
