"""Whose poll goes next, and what a 429 does to all waits of a connection."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from many_waits import Connect, cancel, outcome_of, polls, rendering, run, until

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling.rate_limit import LONGEST_STOP, RateLimit
from airflow_provider_wisdomgate.polling.rate_limiter import RateLimiter
from airflow_provider_wisdomgate.sandbox import Sandbox


def widest_gap(times: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))


def test_all_waits_of_a_connection_keep_within_its_requests_per_minute(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect
) -> None:
    videos = rendering(hook, 10, seconds=0)
    connect(extra={"requests_per_minute": 1200})

    async def main() -> list[str]:
        return await asyncio.gather(*(outcome_of(video) for video in videos))

    assert run(main) == ["ready"] * 10
    times = polls(sandbox)
    assert len(times) == 10
    assert times[-1] - times[0] >= 9 * 0.05 - 0.02


def pause_after_a_429(hook: WisdomGateHook, sandbox: Sandbox, retry_after: float | None) -> float:
    """Let eight waits meet a short burst of 429s, and return the longest time without a poll."""
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
    return widest_gap(polls(sandbox)[16:])


def test_a_429_stops_all_siblings_for_as_long_as_the_gateway_says(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    assert pause_after_a_429(hook, sandbox, retry_after=0.4) >= 0.35


def test_a_429_without_retry_after_stops_all_siblings_too(
    hook: WisdomGateHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wisdomgate.polling.rate_limit.FIRST_BACKOFF", 0.8)
    assert pause_after_a_429(hook, sandbox, retry_after=None) >= 0.35


def test_a_wait_whose_deadline_passes_while_all_are_stopped_times_out(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    videos = rendering(hook, 3, seconds=60)
    sandbox.burst(429, 10, retry_after=3600)

    async def main() -> list[str]:
        return await asyncio.gather(*(outcome_of(video, lasting=0.3) for video in videos))

    assert run(main) == ["timed_out"] * 3


def test_a_wait_that_began_while_all_are_stopped_polls_at_its_deadline_all_the_same(
    hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    first, second = rendering(hook, 2, seconds=0)
    sandbox.burst(429, 0.2, retry_after=86_400)

    async def main() -> list[str]:
        return [await outcome_of(video, lasting=0.5) for video in (first, second)]

    assert run(main) == ["ready", "ready"]
    assert len(polls(sandbox)) == 3  # the 429 and one for each


@pytest.mark.parametrize("retry_after", [86_400.0, 172_800.0])
def test_one_answer_stops_all_polls_of_a_connection_for_five_minutes_at_most(retry_after: float) -> None:
    rate_limit = RateLimit()
    rate_limit.rate_limited(0.0, 1.0, retry_after, 0.5)
    assert (rate_limit.is_free(LONGEST_STOP), rate_limit.is_free(LONGEST_STOP + 1.0)) == (False, True)


def order_of(rate_limit: RateLimit, dues: list[float]) -> list[int]:
    """Put polls in the line at once, and return the order in which they go; ``dues`` are seconds from now."""
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


def test_polls_go_in_the_order_in_which_they_came() -> None:
    assert order_of(RateLimit(6000), [3600.0] * 5) == [0, 1, 2, 3, 4]


def test_a_poll_near_its_deadline_goes_first() -> None:
    assert order_of(RateLimit(6000), [3600.0, 3600.0, 3600.0, 5.0]) == [3, 0, 1, 2]


def test_of_many_polls_near_their_deadline_only_every_other_overtakes() -> None:
    assert order_of(RateLimit(6000), [3600.0, 3600.0, 3600.0, 5.0, 5.0, 5.0]) == [3, 0, 4, 1, 5, 2]


def test_a_poll_that_came_near_its_deadline_in_the_line_overtakes() -> None:
    # The first poll may go after 0.2 s; by then the last one has less than URGENT left.
    assert order_of(RateLimit(300), [3600.0, 60.1]) == [1, 0]


def test_the_place_of_a_cancelled_poll_goes_to_the_next() -> None:
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
