"""Runs many waits at once against the sandbox."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from support import SMALL, asked

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling import shared_client
from airflow_provider_wisdomgate.polling.shared_client import SharedClient
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

Connect = Callable[..., dict[str, Any]]

CONN_ID = "wisdomgate_default"

# A session, socket or task that is left behind fails the test that left it.
pytestmark = [
    pytest.mark.filterwarnings("error::ResourceWarning"),
    pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"),
]


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run in an event loop of its own, and hold that nothing is left in it."""

    async def whole() -> Any:
        result = await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        connections = shared_client._CONNECTIONS.get(asyncio.get_running_loop(), {})
        assert [kept.client for kept in connections.values()] == [None] * len(connections)
        return result

    result = asyncio.run(whole())
    gc.collect()
    assert [one for one in gc.get_objects() if type(one) is SharedClient] == []
    return result


async def event_of(video_id: str, poll_interval: float = 0.02, lasting: float = 30.0) -> dict[str, Any]:
    trigger = WisdomGateVideoTrigger(video_id, CONN_ID, poll_interval, time.time() + lasting)
    async with aclosing(trigger.run()) as events:  # type: ignore[type-var]
        async for event in events:
            payload: dict[str, Any] = event.payload
            return payload
    raise AssertionError("no event")


async def outcome_of(video_id: str, poll_interval: float = 0.02, lasting: float = 30.0) -> str:
    return str((await event_of(video_id, poll_interval, lasting))["outcome"])


def rendering(hook: WisdomGateHook, count: int = 1, seconds: float = 0.15) -> list[str]:
    """Create videos that are ready after some seconds."""
    order = {"seconds": SMALL["seconds"], "size": SMALL["size"]}
    prompt = asked(f"render={seconds}")
    return [hook.create_video(SMALL["model"], prompt, **order).id for _ in range(count)]


def polls(sandbox: Sandbox) -> list[float]:
    """Return when the polls came."""
    return [one["time"] for one in sandbox.requests() if one["method"] == "GET" and "/v1/videos/" in one["path"]]


async def until(is_true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110  # what it waits for happens in the sandbox's thread
            await asyncio.sleep(0.005)


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
