"""Waits for videos by every way there is, on one loopback server, and prints the ratios. Times assert nothing.

``HttpSensorTrigger`` and ``HttpTrigger`` (one instance a poll, in a loop) of apache-airflow-providers-http, a bare
aiohttp loop on one session as the limit, and ``WisdomGateVideoTrigger``. Over TLS everybody checks the same CA, given
by SSL_CERT_FILE and REQUESTS_CA_BUNDLE. Log lines are off for all, and connections come from environment variables:
both spare the competitors more than us.

Every run is a process of its own; rounds are interleaved and medians are printed. A stall is three numbers in
milliseconds: the longest gap between two beats of a 5 ms heartbeat / the most that this thread computed within one,
which is what remains of it on a machine that nobody else uses / the longest run of Python's garbage collector, whose
full collections walk all that importing Airflow has left, in every competitor alike; --freeze takes that out of their
way (gc.freeze()), to tell its part. Judged is the second number; the third is
printed beside the bare loop's. Linux only: memory comes from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

FREEZE = "WISDOMGATE_BENCH_FREEZE"
KEY = "not-a-secret"
HEADERS = {"Authorization": f"Bearer {KEY}"}
NAMES = ("HttpSensorTrigger", "HttpTrigger", "bare aiohttp", "ours")
AT_ONCE = 40  # waits in a speed run
BREATH = 0.001  # seconds between a wait's polls there: as fast as the loop goes
Facts = dict[str, float]

# ------------------------------------------------------------------------------------------ the gateway


def answer(path: bytes) -> bytes:
    """Answer a poll. The id says all: ``never``, or epoch milliseconds of creation and of completion; 404 for some.

    ``HttpSensorTrigger`` goes on only after a 404, so its ids begin with ``missing``.
    """
    video_id = path.rpartition(b"/")[2].decode()
    kind, _, times = video_id.partition("_")
    created, _, ready = times.partition("_")
    now, begun = time.time() * 1000, float(created or 0)
    done = bool(ready) and now >= float(ready)
    if kind == "missing" and not done:
        body: dict[str, Any] = {"error": {"message": "Not yet", "type": "invalid_request_error", "code": "not_found"}}
        return reply(b"404 Not Found", body)
    share = 100 * (now - begun) / (float(ready) - begun) if ready else 40
    body = {
        "id": video_id,
        "object": "video",
        "model": "sora-2",
        "status": "completed" if done else "processing",
        "progress": 100 if done else int(share),
        "created_at": int(begun / 1000),
        "completed_at": int(float(ready) / 1000) if done else None,
        "expires_at": int(now / 1000) + 3600 if done else None,
        "seconds": "8",
        "size": "1280x720",
        "prompt": "A paper boat drifts down a rainy street at dusk, neon signs in the puddles, slow tracking shot",
        "error": None,
        "remixed_from_video_id": None,
    }
    return reply(b"200 OK", body)


def reply(status: bytes, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nX-Oneapi-Request-Id: 20261122093000123456789abcdef\r\n"
    return (head + b"Content-Length: %d\r\n\r\n%b") % (status, len(text), text)


class Gateway(asyncio.Protocol):
    """Answers GETs on a connection that is kept. ``/count`` tells how many polls there were so far."""

    polls = connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.rest = transport, b""
        Gateway.connections += 1

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1]
            if path == b"/count":
                counts = {"polls": Gateway.polls, "connections": Gateway.connections}
                self.transport.write(reply(b"200 OK", counts))  # type: ignore[attr-defined]
                continue
            Gateway.polls += 1
            self.transport.write(answer(path))  # type: ignore[attr-defined]


async def serve(certificate: str | None) -> None:
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Gateway, "127.0.0.1", 0, ssl=tls, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def make_certificate(folder: Path) -> str:
    path = folder / "gateway.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *subject, "-keyout", str(path), "-out", str(folder / "certificate")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "certificate").read_bytes())
    return str(path)


def counted(url: str) -> Facts:
    """Ask the gateway for its counts."""
    with urllib.request.urlopen(f"{url}/count", timeout=10) as got:
        counts: Facts = json.load(got)
    return counts


# ------------------------------------------------------------------------------------------ the competitors

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

# ------------------------------------------------------------------------------------------ measuring


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


# ------------------------------------------------------------------------------------------ running


@contextmanager
def gateway(certificate: str | None = None) -> Iterator[str]:
    """Run the loopback server in a process of its own; gives its base URL."""
    command = [sys.executable, __file__, "--serve", certificate or ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def measure(name: str, url: str, what: str, *arguments: float, environment: dict[str, str] | None = None) -> Facts:
    """Run one measurement in a fresh process."""
    # HttpAsyncHook knows a URL by "://"; both connection types take it so.
    http = {"conn_type": "http", "host": url}
    connection = {**http, "conn_type": "wisdomgate", "password": KEY} if name == "ours" else http
    limited = {"conn_type": "wisdomgate", "host": url, "password": KEY, "extra": {"requests_per_minute": 50}}
    own = {"AIRFLOW_CONN_GATEWAY": json.dumps(connection), "AIRFLOW_CONN_SANDBOX": json.dumps(limited)}
    command = [sys.executable, __file__, "--measure", name, url, what, *map(str, arguments)]
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


def medians(rounds: list[Facts]) -> Facts:
    return {fact: statistics.median(one[fact] for one in rounds) for fact in rounds[0]}


def target(text: str, value: float, limit: float, unit: str = "") -> None:
    print(f"{'met   ' if value <= limit else 'MISSED'}  {text}: {value:.2f}{unit}, at most {limit:g}{unit}")


def stall_of(facts: Facts, when: str = "") -> str:
    return "/".join(f"{facts[when + name] * 1000:.0f}" for name in ("gap", "computed", "collected"))


def cost_of_a_poll(rounds: int, seconds: float, folder: Path) -> None:
    certificate = make_certificate(folder)
    ca = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(folder / "certificate"))
    for scheme in ("HTTP", "TLS"):
        seen: dict[str, list[Facts]] = {name: [] for name in NAMES}
        for shift in range(rounds):
            for name in NAMES[shift % 4 :] + NAMES[: shift % 4]:
                # A server of its own for each: what one leaves in TIME_WAIT is not the next one's trouble.
                with gateway(certificate if scheme == "TLS" else None) as url:
                    os.environ.update(ca)
                    seen[name].append(measure(name, url, "speed", seconds, environment=ca))
        results = {name: medians(facts) for name, facts in seen.items()}
        ours = results["ours"]["cpu"]
        print(f"\nOne poll over {scheme}, {AT_ONCE} waits as fast as they go, medians of {rounds} rounds")
        print(f"{'':18}{'CPU ms/poll':>12}{'x ours':>8}{'polls/s/core':>14}{'connections/poll':>18}{'stall ms':>16}")
        for name, facts in results.items():
            stall = stall_of(facts)
            print(
                f"{name:18}{facts['cpu'] * 1000:12.3f}{facts['cpu'] / ours:8.2f}{1 / facts['cpu']:14,.0f}"
                f"{facts['connections']:18.3f}{stall:>16}"
            )
        # Of each round, since the machine's speed changes between them.
        ratio = {
            name: statistics.median(
                mine["cpu"] / other["cpu"] for mine, other in zip(seen["ours"], seen[name], strict=True)
            )
            for name in NAMES
        }
        target(
            f"{scheme}: CPU per poll, ours to HttpSensorTrigger", ratio[NAMES[0]], 0.25 if scheme == "HTTP" else 0.125
        )
        target(f"{scheme}: CPU per poll, ours to the bare loop", ratio["bare aiohttp"], 1.6)


def many_waiting(crowds: dict[str, int], interval: float, seconds: float) -> None:
    print(
        f"\nWaiting at an interval of {interval:g} s in one loop, videos up to 10 minutes old, HTTP, for {seconds:g} s"
    )
    print(f"{'':18}{'videos':>8}{'of a core':>11}{'polls/s':>9}{'KiB each':>10}{'stall ms':>16}{'at start':>16}")
    seen: dict[str, Facts] = {}
    for name, count in crowds.items():
        with gateway() as url:
            facts = measure(name, url, "crowd", count, interval, seconds)
        stall, start = stall_of(facts), stall_of(facts, "start_")
        print(
            f"{name:18}{count:8,}{facts['share']:11.2f}{facts['polls']:9.0f}{facts['memory']:10.1f}{stall:>16}{start:>16}"
        )
        assert facts["alive"] == count, facts
        seen[name] = facts
    ours = seen["ours"]
    target(f"of a core, {crowds['ours']:,} videos", ours["share"], 0.5)
    target("KiB per waiting video", ours["memory"], 30)
    target(
        "longest stall of our own computing, start included",
        max(ours["computed"], ours["start_computed"]) * 1000,
        100,
        " ms",
    )
    longest = {
        name: max(seen[name]["collected"], seen[name]["start_collected"]) * 1000 for name in ("ours", "bare aiohttp")
    }
    print(
        f"        beside it, the collector's longest run: ours {longest['ours']:.0f} ms, "
        f"the bare loop {longest['bare aiohttp']:.0f} ms"
    )


def how_late(count: int, interval: float) -> None:
    print(f"\nDetection lag, {count} videos of 2 to 20 intervals, (longest) interval {interval:g} s, HTTP")
    print(f"{'':18}{'mean s':>8}{'p95 s':>8}{'polls each':>12}")
    for name in NAMES:
        with gateway() as url:
            facts = measure(name, url, "lag", count, interval)
        print(f"{name:18}{facts['mean']:8.2f}{facts['p95']:8.2f}{facts['polls']:12.1f}")


def within_a_rate_limit(count: int, render_seconds: float) -> None:
    from tests.servers import sandbox

    print(
        f"\nA rate limit: {count} videos of {render_seconds:g} s, requests_per_minute=50, a sandbox that enforces 50",
        flush=True,
    )
    with sandbox(f"--api-key={KEY}") as url:
        facts = measure("ours", url, "rate_limit", count, render_seconds)
    print(f"all ready after {facts['seconds']:.0f} s and {facts['polls']:.0f} polls")
    target("polls refused with 429", facts["refused"], 0)


PARTS = ("speed", "crowd", "lag", "rate_limit", "simulation")
EARLIER_NAMES = {"budget": "rate_limit"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each speed run (default %(default)s)")
    parser.add_argument(
        "--only", type=lambda name: EARLIER_NAMES.get(name, name), choices=PARTS, nargs="+", default=PARTS
    )
    parser.add_argument("--freeze", action="store_true", help="in the crowd, keep the collector off what was imported")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        return asyncio.run(serve(options.serve or None))
    if options.freeze:
        os.environ[FREEZE] = "1"
    if options.measure:
        return child(*options.measure)
    with tempfile.TemporaryDirectory(prefix="wisdomgate-bench-") as folder:
        if "speed" in options.only:
            cost_of_a_poll(options.rounds, options.seconds, Path(folder))
    if "crowd" in options.only:
        many_waiting({NAMES[0]: 1000, NAMES[1]: 1000, NAMES[2]: 10_000, "ours": 10_000}, 15.0, 30.0)
    if "lag" in options.only:
        how_late(200, 1.0)
    if "simulation" in options.only:
        import schedule_simulation

        schedule_simulation.main([])
    if "rate_limit" in options.only:
        within_a_rate_limit(100, 20.0)
    return None


if __name__ == "__main__":
    main()
