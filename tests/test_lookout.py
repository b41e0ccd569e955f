"""What waits on one connection share: real triggers in real event loops, on real sockets to the sandbox."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from blockbuster import BlockBusterFunction, blockbuster_ctx
from support import SMALL, asked, tls_in_front_of

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling import decisions, rate_limiter, shared_client
from airflow_provider_wisdomgate.polling.rate_limit import RateLimit
from airflow_provider_wisdomgate.polling.rate_limiter import RateLimiter
from airflow_provider_wisdomgate.polling.shared_client import SharedClient, share_client
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


def looks(sandbox: Sandbox) -> list[float]:
    """Return when the looks came."""
    return [one["time"] for one in sandbox.requests() if one["method"] == "GET" and "/v1/videos/" in one["path"]]


def widest_gap(times: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))


async def until(is_true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110  # what it waits for happens in the sandbox's thread
            await asyncio.sleep(0.005)


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Relay:
    """Passes bytes on to the sandbox and counts the connections: all there were, and those that are open."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.port = int(sandbox.url.rpartition(":")[2])
        self.made = self.open = 0

    async def __aenter__(self) -> Relay:
        self.server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made, self.open = self.made + 1, self.open + 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(self._copy(far_reader, writer))
        await self._copy(reader, far_writer)
        await back
        self.open -= 1

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()


# ---------------------------------------------------------------------------------------- one client


def test_two_hundred_waits_on_a_connection_share_one_client_and_the_last_one_closes_it(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect
) -> None:
    videos = rendering(hook, 200, seconds=0.6)

    async def main() -> tuple[set[str], int, int]:
        async with Relay(sandbox) as relay:
            connect(host=relay.url)
            async with share_client("the first", "wisdomgate_default") as shared:
                await shared.client()
                # Whoever looked the connection up from here on would end up nowhere.
                connect(host="http://127.0.0.1:9")
                # Far fewer looks a second than one connection carries: more clients would need more connections.
                outcomes = await asyncio.gather(*(outcome_of(video, 1.0) for video in videos))
            await until(lambda: not relay.open)
            return set(outcomes), relay.made, relay.open

    outcomes, made, still_open = run(main)
    assert (outcomes, still_open) == ({"ready"}, 0)
    assert made <= 100


def test_all_waits_of_a_connection_are_given_the_same_lookout_and_another_connection_its_own(connect: Connect) -> None:
    connect("one")
    connect("other")

    async def main() -> tuple[bool, bool]:
        async with (
            share_client("a", "one") as first,
            share_client("b", "one") as second,
            share_client("a", "other") as third,
        ):
            return first is second, first is third

    assert run(main) == (True, False)


def test_a_wait_after_the_last_one_opens_a_new_client(hook: WisdomGateHook, sandbox: Sandbox, connect: Connect) -> None:
    first, second = rendering(hook, 2, seconds=0)

    async def main() -> tuple[str, str]:
        return await outcome_of(first), await outcome_of(second)

    assert run(main) == ("ready", "ready")


def test_a_changed_key_is_taken_up_by_newcomers_while_the_old_waits_go_on(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = rendering(hook, 2, seconds=0.3)
    monkeypatch.setattr(shared_client, "CLIENT_IS_FRESH", 0.0)

    async def main() -> list[str]:
        before = asyncio.create_task(outcome_of(old))
        await until(lambda: sandbox.counts()["polls"])
        connect(password="revoked")
        return [await outcome_of(new), await before]

    assert run(main) == ["refused", "ready"]


def test_two_event_loops_at_once_have_a_client_each(hook: WisdomGateHook) -> None:
    videos, seen = rendering(hook, 2, seconds=0.3), {}

    async def main(number: int) -> None:
        async with share_client("other", CONN_ID) as shared:
            seen[number] = (await outcome_of(videos[number]), id(await shared.client()))

    threads = [threading.Thread(target=lambda number=number: asyncio.run(main(number))) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen[number][0] for number in (0, 1)] == ["ready", "ready"]
    assert seen[0][1] != seen[1][1]


def test_an_event_loop_that_ended_leaves_nothing_to_the_next(hook: WisdomGateHook) -> None:
    for video in rendering(hook, 3, seconds=0):
        assert run(lambda video=video: outcome_of(video)) == "ready"
    gc.collect()
    assert len(shared_client._CONNECTIONS) <= 1  # asgiref, which looks connections up, holds on to the last loop it saw


# -------------------------------------------------------------------------------------- cancellation


def test_waits_that_are_cancelled_leave_the_others_working(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    videos = rendering(hook, 20, seconds=0.3)

    async def main() -> list[str]:
        waits = [asyncio.create_task(outcome_of(video)) for video in videos]
        await until(lambda: sandbox.counts()["polls"] > 20)
        await cancel(waits[::2])
        return await asyncio.gather(*waits[1::2])

    assert run(main) == ["ready"] * 10


def test_a_wait_that_is_cancelled_does_not_cancel_the_look_it_shares(hook: WisdomGateHook) -> None:
    (video,) = rendering(hook)

    async def main() -> list[str]:
        waits = [asyncio.create_task(outcome_of(video)) for _ in range(6)]
        await asyncio.sleep(0.05)
        await cancel(waits[:3])
        return await asyncio.gather(*waits[3:])

    assert run(main) == ["ready"] * 3


@pytest.mark.parametrize("after", [0.0, 0.001, 0.005, 0.02, 0.05])
def test_waits_that_are_all_cancelled_leave_nothing_behind(hook: WisdomGateHook, after: float) -> None:
    videos = rendering(hook, 3, seconds=60)

    async def main() -> None:
        waits = [asyncio.create_task(outcome_of(video)) for video in [*videos, *videos]]
        await asyncio.sleep(after)
        await cancel(waits)

    run(main)


def test_waits_that_are_cancelled_in_the_line_for_a_turn_leave_no_timer(hook: WisdomGateHook, connect: Connect) -> None:
    videos = rendering(hook, 5, seconds=60)
    connect(extra={"requests_per_minute": 1})

    async def main() -> None:
        waits = [asyncio.create_task(outcome_of(video)) for video in videos]
        await asyncio.sleep(0.1)
        await cancel(waits)
        (kept,) = shared_client._CONNECTIONS[asyncio.get_running_loop()].values()
        assert (kept.rate_limiter._timer, len(kept.rate_limiter._waiting), len(kept.rate_limiter._urgent)) == (
            None,
            0,
            0,
        )

    run(main)


def test_ten_thousand_triggers_that_come_and_go_leave_nothing(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    (video,) = rendering(hook, seconds=60)

    async def main() -> None:
        for batch in range(20):
            # One of each batch looks; the rest is cancelled in its sleep, as most are when a triggerer stops.
            waits = [asyncio.create_task(outcome_of(video, 0.02))]
            waits += [asyncio.create_task(outcome_of(f"{batch}-{number}", 1000.0)) for number in range(499)]
            await asyncio.sleep(0.02)
            await cancel(waits)
        assert [len(connections) for connections in shared_client._CONNECTIONS.values()] == [1]

    run(main)
    assert [one for one in gc.get_objects() if type(one) is WisdomGateVideoTrigger] == []


# -------------------------------------------------------------------------------------------- sharing


def test_waits_for_the_same_video_share_its_looks(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    alone, together = rendering(hook, 2, seconds=0.5)

    async def main() -> set[str]:
        return set(await asyncio.gather(outcome_of(alone, 0.1), *(outcome_of(together, 0.1) for _ in range(20))))

    assert run(main) == {"ready"}
    assert sandbox.polls_of(together) <= 4 * sandbox.polls_of(alone)


def test_a_shared_look_that_fails_is_a_miss_of_each_wait(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    (video,) = rendering(hook)

    async def main() -> list[str]:
        sandbox.burst(502, 0.1)
        return await asyncio.gather(*(outcome_of(video, 0.1) for _ in range(5)))

    assert run(main) == ["ready"] * 5


# ------------------------------------------------------------------------------------------ the rate_limit


def test_all_waits_of_a_connection_keep_within_its_requests_per_minute(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect
) -> None:
    videos = rendering(hook, 10, seconds=0)
    connect(extra={"requests_per_minute": 1200})

    async def main() -> list[str]:
        return await asyncio.gather(*(outcome_of(video) for video in videos))

    assert run(main) == ["ready"] * 10
    times = looks(sandbox)
    assert len(times) == 10
    assert times[-1] - times[0] >= 9 * 0.05 - 0.02


def pause_after_a_429(hook: WisdomGateHook, sandbox: Sandbox, retry_after: float | None) -> float:
    """Let eight waits meet a short burst of 429s, and return the longest time without a look."""
    videos = rendering(hook, 8, seconds=60)

    async def main() -> None:
        waits = [asyncio.create_task(outcome_of(video)) for video in videos]
        await until(lambda: sandbox.counts()["polls"] > 16)
        sandbox.burst(429, 0.2, retry_after)
        await until(lambda: sandbox.counts()["burst_replies"])
        before = sandbox.counts()["polls"]
        # The first ones to come are those that were under way.
        await until(lambda: sandbox.counts()["polls"] > before + 8)
        await cancel(waits)

    run(main)
    return widest_gap(looks(sandbox)[16:])


def test_a_429_stops_all_siblings_for_as_long_as_the_gateway_says(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    assert pause_after_a_429(hook, sandbox, retry_after=0.4) >= 0.35


def test_a_429_without_retry_after_stops_all_siblings_too(
    hook: WisdomGateHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wisdomgate.polling.rate_limit.FIRST_BACKOFF", 0.8)
    assert pause_after_a_429(hook, sandbox, retry_after=None) >= 0.35


def test_a_wait_whose_deadline_passes_while_all_are_stopped_times_out(
    hook: WisdomGateHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "GRACE", 0.05)
    videos = rendering(hook, 3, seconds=60)
    sandbox.burst(429, 10, retry_after=3600)

    async def main() -> list[str]:
        return await asyncio.gather(*(outcome_of(video, lasting=0.3) for video in videos))

    assert run(main) == ["timed_out"] * 3


def order_of(rate_limit: RateLimit, dues: list[float]) -> list[int]:
    """Put looks in the line at once, and return the order in which they go; ``dues`` are seconds from now."""
    order: list[int] = []

    async def main() -> None:
        limiter = RateLimiter(rate_limit)
        await limiter.acquire(0.0)  # the poll that may go at once

        async def poll(number: int, due: float) -> None:
            await limiter.acquire(time.time() + due)
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number, due in enumerate(dues):
                group.create_task(poll(number, due))

    run(main)
    return order


def test_looks_go_in_the_order_in_which_they_came() -> None:
    assert order_of(RateLimit(6000), [3600.0] * 5) == [0, 1, 2, 3, 4]


def test_a_look_near_its_deadline_goes_first() -> None:
    assert order_of(RateLimit(6000), [3600.0, 3600.0, 3600.0, 5.0]) == [3, 0, 1, 2]


def test_of_many_looks_near_their_deadline_only_every_other_overtakes() -> None:
    assert order_of(RateLimit(6000), [3600.0, 3600.0, 3600.0, 5.0, 5.0, 5.0]) == [3, 0, 4, 1, 5, 2]


def test_a_look_that_came_near_its_deadline_in_the_line_overtakes() -> None:
    # The first turn comes after 0.2 s; by then the last one has less than URGENT left.
    assert order_of(RateLimit(300), [3600.0, 60.1]) == [1, 0]


def test_a_turn_that_nobody_wants_any_more_goes_to_the_next() -> None:
    async def main() -> float:
        limiter = RateLimiter(RateLimit(300))
        await limiter.acquire(0.0)
        first = asyncio.create_task(limiter.acquire(time.time() + 3600))
        second = asyncio.create_task(limiter.acquire(time.time() + 3600))
        begin = time.monotonic()
        await asyncio.sleep(0.01)
        await cancel([first])
        await second
        return time.monotonic() - begin

    assert run(main) == pytest.approx(0.206, abs=0.15)


# -------------------------------------------------------------------------------------------- failures


def test_a_connection_that_cannot_be_read_for_a_while_is_a_miss_and_the_wait_recovers(
    hook: WisdomGateHook, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = rendering(hook, 3)
    monkeypatch.setenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", "{no json")

    async def main() -> list[str]:
        waits = [asyncio.create_task(outcome_of(video, 0.1)) for video in videos]
        await asyncio.sleep(0.12)
        connect()
        return await asyncio.gather(*waits)

    assert run(main) == ["ready"] * 3


def test_a_connection_that_is_not_there_refuses_every_wait_and_says_so(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "wisdomgate"}))

    async def main() -> list[dict[str, Any]]:
        trigger = WisdomGateVideoTrigger("video_1", "other", 0.02, time.time() + 30)
        return [event.payload async for event in trigger.run()]

    ((outcome, error),) = {(one["outcome"], one["error"]["error"]) for one in run(main)}
    assert (outcome, error, sandbox.requests()) == ("refused", "ConfigurationError", [])


def test_a_gateway_that_is_down_for_a_while_ends_no_wait(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    videos = rendering(hook, 10)

    async def main() -> list[str]:
        sandbox.down(0.2)
        return await asyncio.gather(*(outcome_of(video, 0.05) for video in videos))

    assert run(main) == ["ready"] * 10


# --------------------------------------------------------------------------------------- the event loop


def test_nothing_blocks_the_event_loop(
    sandbox: Sandbox, connect: Connect, ca_bundle: str, hook: WisdomGateHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What blocks raises inside the loop; that would be a miss, of which none is allowed here. A 429 is none."""
    monkeypatch.setattr(decisions, "MAX_FAILED_POLLS", 1)
    videos = [hook.create_video(prompt=asked("render=0.2 poll=429x1"), **SMALL).id for _ in range(3)]

    async def main() -> list[dict[str, Any]]:
        return await asyncio.gather(*map(event_of, videos))

    with tls_in_front_of(sandbox.url) as url, blockbuster_ctx("airflow_provider_wisdomgate") as blocking:
        # Reads the CA bundle, in C where nobody else sees it.
        blocking.functions["ca"] = BlockBusterFunction(ssl.SSLContext, "load_verify_locations")
        blocking.functions["ca"].activate()
        connect(host=url, extra={"verify": ca_bundle})
        events = run(main)
    assert [(event["outcome"], event["error"]) for event in events] == [("ready", None)] * 3


def test_importing_the_trigger_imports_no_http_library_of_ours() -> None:
    code = (
        "import sys, airflow.triggers.base; before = set(sys.modules)\n"
        "import airflow_provider_wisdomgate.triggers\n"
        "late = {'aiohttp', 'requests', 'airflow_provider_wisdomgate.polling.shared_client'}\n"
        "print(sorted(late & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
