"""Every way to wait for a video that is compared: two of Airflow's triggers, a bare aiohttp loop, and ours."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

KEY = "not-a-secret"
HEADERS = {"Authorization": f"Bearer {KEY}"}
NAMES = ("HttpSensorTrigger", "HttpTrigger", "bare aiohttp", "ours")
# A competitor waits for one video with so many seconds between polls, and returns when it is finished.
Waiter = Callable[[str, float], Coroutine[Any, Any, None]]


@asynccontextmanager
async def by_sensor_trigger(url: str) -> AsyncIterator[Waiter]:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    async def wait(video: str, interval: float) -> None:
        trigger = HttpSensorTrigger(
            endpoint=f"v1/videos/missing_{video}", http_conn_id="gateway", headers=HEADERS, poke_interval=interval
        )
        async for _ in trigger.run():
            return

    yield wait


@asynccontextmanager
async def by_http_trigger(url: str) -> AsyncIterator[Waiter]:
    from airflow.providers.http.triggers.http import HttpResponseSerializer, HttpTrigger

    async def poll(video: str) -> Any:
        trigger = HttpTrigger(
            endpoint=f"v1/videos/video_{video}", http_conn_id="gateway", headers=HEADERS, method="GET"
        )
        async for event in trigger.run():
            assert event.payload["status"] == "success", event.payload
            return HttpResponseSerializer.deserialize(event.payload["response"]).json()

    async def wait(video: str, interval: float) -> None:
        while (await poll(video))["status"] != "completed":  # noqa: ASYNC110  # polling is what is measured
            await asyncio.sleep(interval)

    yield wait


@asynccontextmanager
async def by_bare_loop(url: str) -> AsyncIterator[Waiter]:
    import aiohttp

    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def wait(video: str, interval: float) -> None:
            while True:
                async with session.get(f"{url}/v1/videos/video_{video}") as got:
                    if json.loads(await got.read())["status"] == "completed":
                        return
                await asyncio.sleep(interval)

        yield wait


@asynccontextmanager
async def by_ours(url: str) -> AsyncIterator[Waiter]:
    from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

    async def wait(video: str, interval: float) -> None:
        trigger = WisdomGateVideoTrigger(f"video_{video}", "gateway", interval, time.time() + 3600)
        async for event in trigger.run():
            assert event.payload["outcome"] == "ready", event.payload

    yield wait


COMPETITORS = dict(zip(NAMES, (by_sensor_trigger, by_http_trigger, by_bare_loop, by_ours), strict=True))
