"""What is measured of a competitor, in a process of its own: cost, stalls, memory, lag and polls refused.

``measure`` starts that process; as a program this module is what runs in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.waits.competitors import COMPETITORS, HEADERS, KEY
from benchmarks.waits.gateway import counted

FREEZE = "WISDOMGATE_BENCH_FREEZE"
AT_ONCE = 40  # waits in a speed run
BREATH = 0.001  # seconds between a wait's polls there: as fast as the loop goes
Facts = dict[str, float]


class Heart:
    """Beats every 5 ms and keeps the longest gap, and the most that this thread computed in one, collector left out."""

    def __init__(self) -> None:
        self._collecting = self._collected = 0.0
        self.forget()
        gc.callbacks.append(self._on_collect)

    def forget(self) -> None:
        self.gap = self.computed = self.collected = 0.0

    def _on_collect(self, phase: str, info: dict[str, int]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._collecting = now
            return
        self.collected = max(self.collected, now - self._collecting)
        self._collected += now - self._collecting

    async def beat(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time() - self._collected
        while True:
            await asyncio.sleep(0.005)
            now, used = time.perf_counter(), time.thread_time() - self._collected
            self.gap, self.computed = max(self.gap, now - wall - 0.005), max(self.computed, used - cpu)
            wall, cpu = now, used

    @property
    def stalls(self) -> Facts:
        return {"gap": self.gap, "computed": self.computed, "collected": self.collected}


def memory() -> float:
    """Read this process's resident memory, in KiB."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise LookupError("VmRSS")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def speed(name: str, url: str, seconds: float) -> Facts:
    """Poll as often as the loop allows, and say what a poll costs."""
    heart = Heart()
    async with COMPETITORS[name](url) as wait:
        waits = [asyncio.create_task(wait(f"{number}_", BREATH)) for number in range(AT_ONCE)]
        async with asyncio.timeout(30):  # until what is done once is done
            while (await asyncio.to_thread(counted, url))["polls"] < 5 * AT_ONCE:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        beating = asyncio.create_task(heart.beat())
        before, cpu = await asyncio.to_thread(counted, url), cpu_seconds()
        await asyncio.sleep(seconds)
        used, after = cpu_seconds() - cpu, await asyncio.to_thread(counted, url)
        polls = after["polls"] - before["polls"]
        await stop([beating, *waits])
    connections = (after["connections"] - before["connections"]) / polls
    return {"cpu": used / polls, "connections": connections, **heart.stalls}


async def crowd(name: str, url: str, count: int, interval: float, seconds: float) -> Facts:
    """Wait for many videos at an interval, begun 50 a turn of the loop as the triggerer does; none gets finished."""
    heart, dice = Heart(), random.Random(1)
    async with COMPETITORS[name](url) as wait:
        warm = asyncio.create_task(wait(f"{time.time() * 1000:.0f}_{time.time() * 1000 + 500:.0f}", 0.2))
        await warm
        if os.environ.get(FREEZE):
            gc.freeze()
        before = memory()
        beating = asyncio.create_task(heart.beat())
        # Videos of any age up to ten minutes: a triggerer that took them over.
        created = [(time.time() - dice.uniform(0, 600)) * 1000 for _ in range(count)]
        waits = []
        for number, born in enumerate(created):
            waits.append(asyncio.create_task(wait(f"{born:.0f}_", interval)))
            if number % 50 == 49:
                await asyncio.sleep(interval / (count / 50))
        at_start = heart.stalls
        await asyncio.sleep(interval * 1.1)
        polls, cpu, begin = (await asyncio.to_thread(counted, url))["polls"], cpu_seconds(), time.perf_counter()
        heart.forget()
        await asyncio.sleep(seconds)
        used, took = cpu_seconds() - cpu, time.perf_counter() - begin
        polls = (await asyncio.to_thread(counted, url))["polls"] - polls
        stalls = heart.stalls
        beating.cancel()
        each = (memory() - before) / count
        alive = sum(not one.done() for one in waits)
        await stop([beating, *waits])
    return {
        "share": used / took,
        "polls": polls / took,
        "memory": each,
        **stalls,
        **{f"start_{name}": value for name, value in at_start.items()},
        "alive": alive,
    }


async def lag(name: str, url: str, count: int, interval: float) -> Facts:
    """Wait for videos that take 2 to 20 intervals, and say how late each end was known."""
    dice, late = random.Random(2), []
    async with COMPETITORS[name](url) as wait:
        await wait("0_1", 0.1)
        before = (await asyncio.to_thread(counted, url))["polls"]

        async def one() -> None:
            begin = time.time()
            ready = begin + dice.uniform(2, 20) * interval
            await wait(f"{begin * 1000:.0f}_{ready * 1000:.0f}", interval)
            late.append(time.time() - ready)

        await asyncio.gather(*(one() for _ in range(count)))
        polls = (await asyncio.to_thread(counted, url))["polls"] - before
    return {"mean": statistics.mean(late), "p95": sorted(late)[int(count * 0.95)], "polls": polls / count}


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def rate_limit(url: str, count: int, render_seconds: float) -> Facts:
    """Wait for more videos than 50 polls a minute can follow, at a sandbox that enforces it, and count its 429s."""
    import requests

    def control(action: str) -> Any:
        verb = requests.get if action == "counts" else requests.post
        return verb(f"{url}/_sandbox/{action}", timeout=30).json()

    order = {"model": "any", "prompt": f"a boat [sandbox: render={render_seconds:g}]", "size": "64x48", "seconds": "1"}
    made = [requests.post(f"{url}/v1/videos", json=order, headers=HEADERS, timeout=30).json() for _ in range(count)]
    control("limit?requests_per_minute=50")

    async def wait_for_all() -> list[float]:
        from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

        async def one(video: dict[str, Any]) -> float:
            async for event in WisdomGateVideoTrigger(video["id"], "sandbox", 30.0, time.time() + 3600).run():
                assert event.payload["outcome"] == "ready", event.payload
            return time.perf_counter()

        return await asyncio.gather(*(one(video) for video in made))

    begin = time.perf_counter()
    ended = asyncio.run(wait_for_all())
    counts = control("counts")
    return {"seconds": max(ended) - begin, "polls": counts["polls"], "refused": counts["refused_429"]}


def measure(name: str, url: str, what: str, *arguments: float, environment: dict[str, str] | None = None) -> Facts:
    """Run one measurement in a fresh process."""
    # HttpAsyncHook knows a URL by "://"; both connection types take it so.
    http = {"conn_type": "http", "host": url}
    connection = {**http, "conn_type": "wisdomgate", "password": KEY} if name == "ours" else http
    limited = {"conn_type": "wisdomgate", "host": url, "password": KEY, "extra": {"requests_per_minute": 50}}
    own = {"AIRFLOW_CONN_GATEWAY": json.dumps(connection), "AIRFLOW_CONN_SANDBOX": json.dumps(limited)}
    command = [sys.executable, "-m", "benchmarks.waits.measurements", name, url, what, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **own, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def child(name: str, url: str, what: str, *arguments: str) -> None:
    import logging

    import airflow  # noqa: F401  # it sets up logging when it is first imported
    import structlog

    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    numbers = [float(argument) for argument in arguments]
    if what == "rate_limit":
        print(json.dumps(rate_limit(url, int(numbers[0]), numbers[1])))
    elif what == "speed":
        print(json.dumps(asyncio.run(speed(name, url, *numbers))))
    else:
        run = crowd if what == "crowd" else lag
        print(json.dumps(asyncio.run(run(name, url, int(numbers[0]), *numbers[1:]))))


if __name__ == "__main__":
    child(*sys.argv[1:])
