"""Puts simulated time, chance and sockets under the code that ships, while a simulation runs and only then."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow_provider_wisdomgate import control, hooks, killed, triggers
from airflow_provider_wisdomgate.arguments import check_gateway
from airflow_provider_wisdomgate.clips.stores import STORES
from airflow_provider_wisdomgate.ledger import destination, driver
from simulation import quicker
from simulation.world import World

# The schedule that runs now. One thread, so one at a time.
running: list[World] = []


def world() -> World:
    return running[-1]


def _process() -> Any:
    return running[-1].process if running else None


def _time(real: Callable[[], float] = time.time) -> float:
    process = _process()
    return real() if process is None else process.world.now + process.skew


def _monotonic(real: Callable[[], float] = time.monotonic) -> float:
    process = _process()
    return real() if process is None else process.world.now - process.started


def _random(real: Callable[[], float] = random.random) -> float:
    process = _process()
    return real() if process is None else process.code_rng.random()


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * random.random()


def _uuid4(real: Callable[[], uuid.UUID] = uuid.uuid4) -> uuid.UUID:
    process = _process()
    return real() if process is None else uuid.UUID(int=process.code_rng.getrandbits(128), version=4)


def _sleep(seconds: float) -> None:
    if (process := _process()) is not None:
        process.world.maybe_zombie("zombie in a sleep")
        process.world.pause(max(seconds, 0.0))


def _interruptible_sleep(seconds: float, check: Callable[[], None]) -> None:
    """Sleep in one piece, unless somebody kills the task: what ``check`` asks five times a second changes only then."""
    end, process = time.monotonic() + seconds, _process()
    while (left := end - time.monotonic()) > 0.001:
        check()
        process.sleeps_lightly = True
        try:
            time.sleep(left)
        finally:
            process.sleeps_lightly = False
    check()


async def _asyncio_sleep(seconds: float) -> None:
    _sleep(seconds)
    if (process := _process()) is not None and process.world.strike("triggerer: taken over"):
        process.world.airflow.take_over(process)


class _Work:
    """Work of a trigger's ``on_kill``, which is done at once."""

    def __init__(self, work: Any) -> None:
        self.work = work

    def add_done_callback(self, forget: Callable[[Any], None]) -> None:
        forget(self)


async def _shield(task: _Work) -> None:
    await task.work


async def _to_thread(act: Callable[..., Any], *arguments: Any) -> Any:
    return act(*arguments)


def _recorded_state(ti: Any) -> str | None:
    return world().airflow.recorded_state(ti)


async def _delete_video(video_id: str, conn_id: str, base_url: str | None = None) -> None:
    client = world().gateway.client()
    check_gateway(base_url, client.settings.base_url, conn_id)
    client.send(hooks.routes.delete_video(video_id))


async def _shared_client_module() -> Any:
    @asynccontextmanager
    async def share_client(video_id: str, conn_id: str) -> Any:
        yield SimpleNamespace(poll=_poll)

    return SimpleNamespace(share_client=share_client, delete_video=_delete_video)


async def _poll(video_id: str, due: float, fresh_for: float, base_url: str | None = None) -> Any:
    client = world().gateway.client()
    check_gateway(base_url, client.settings.base_url, "sim")
    return client.send(hooks.routes.get_video(video_id), hooks.ONCE)


def _read_settings(conn_id: str) -> Any:
    return world().gateway.settings(_process())


class LogHandler(logging.Handler):
    """Gives a task's log to the books: an id that is logged is not lost."""

    def emit(self, record: logging.LogRecord) -> None:
        if (process := _process()) is not None:
            process.world.books.logged(process, record.getMessage())


class Log:
    """The log of operators and hooks, in place of Airflow's."""

    def log(self, level: int, text: str, *words: Any) -> None:
        if (process := _process()) is not None:
            process.world.books.logged(process, text % words if words else text)

    def info(self, text: str, *words: Any) -> None:
        self.log(logging.INFO, text, *words)

    debug = warning = error = exception = info


def _changes() -> list[Any]:
    from airflow.sdk.bases.operator import ExecutorSafeguard

    return [
        patch.object(time, "time", _time),
        patch.object(time, "monotonic", _monotonic),
        patch.object(time, "sleep", _sleep),
        patch.object(random, "random", _random),
        patch.object(random, "uniform", _uniform),
        patch.object(uuid, "uuid4", _uuid4),
        patch.object(control, "interruptible_sleep", _interruptible_sleep),
        patch.object(triggers, "asyncio", SimpleNamespace(sleep=_asyncio_sleep, to_thread=_to_thread)),
        patch.object(killed, "asyncio", SimpleNamespace(create_task=_Work, shield=_shield, to_thread=_to_thread)),
        patch.object(killed, "_recorded_state", _recorded_state),
        patch.object(hooks, "read_settings", _read_settings),
        patch.object(triggers, "_shared_client_module", _shared_client_module),
        patch.dict(STORES, {"sim": f"{__package__}.store:SimStore"}),
        patch.object(ExecutorSafeguard, "test_mode", True),
        patch.object(driver, "AWAIT_DELAY", driver.AWAIT_DELAY),
        *quicker.changes(),
    ]


@contextmanager
def simulation() -> Iterator[None]:
    """Run schedules inside this."""
    changes = _changes()
    logger, handler = logging.getLogger("airflow_provider_wisdomgate"), LogHandler(logging.INFO)
    was = logger.level, logger.propagate
    for change in changes:
        change.start()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = was
        for change in reversed(changes):
            change.stop()


@contextmanager
def schedule(new: World) -> Iterator[None]:
    """Make this the schedule that runs."""
    running.append(new)
    destination._proven.clear()
    driver.AWAIT_DELAY = new.plan.await_delay
    try:
        yield
    finally:
        running.pop()


__all__ = ["Log", "schedule", "simulation", "world"]
