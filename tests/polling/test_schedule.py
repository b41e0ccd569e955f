"""When the next poll comes and how many a connection may send: tables, and waits played without a clock."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import PollAgain, Wait, after_poll, first_poll, poll_delay
from airflow_provider_wisdomgate.polling.rate_limit import LONGEST_BACKOFF, RateLimit

MIDDLE = 0.5  # the jitter that changes nothing
AGES, POLLS, JITTERS = st.floats(0, 1e6), st.floats(0.01, 3600), st.floats(0, 1)
PROGRESS = st.none() | st.floats(-10, 200)


@pytest.mark.parametrize(
    ("age", "progress", "expected"),
    [
        (0.0, None, 30.0),
        (75.0, None, 25.0),
        (150.0, None, 20.0),
        (400.0, None, 20.0),
        (500.0, None, 25.0),
        (10_000.0, None, 30.0),
        (120.0, 0.0, 22.0),
        (100.0, 1.0, 30.0),
        (100.0, 50.0, 30.0),
        (100.0, 80.0, 7.5),
        (100.0, 99.0, 3.0),
        (120.0, 100.0, 22.0),
        (120.0, -1.0, 22.0),
        (1000.0, 90.0, 30.0),
    ],
)
def test_the_pause_follows_the_age_or_the_estimated_rest(age: float, progress: float | None, expected: float) -> None:
    assert poll_delay(age, 30.0, progress, MIDDLE) == pytest.approx(expected)


@given(AGES, POLLS, PROGRESS, JITTERS)
def test_a_pause_is_never_longer_than_poll_interval_nor_shorter_than_a_tenth_of_it(
    age: float, poll_interval: float, progress: float | None, jitter: float
) -> None:
    shortest, longest = 0.1 * 0.9 * poll_interval, 1.1 * poll_interval
    assert shortest * 0.999999 <= poll_delay(age, poll_interval, progress, jitter) <= longest * 1.000001


@given(AGES, POLLS, JITTERS)
def test_without_a_progress_a_pause_is_at_least_two_thirds_of_poll_interval(
    age: float, poll_interval: float, jitter: float
) -> None:
    assert poll_delay(age, poll_interval, None, jitter) >= 2 / 3 * 0.9 * poll_interval * 0.999999


@given(AGES, AGES, st.floats(0.01, 99.99), JITTERS)
def test_with_a_progress_a_pause_grows_with_the_age_of_the_job(
    one: float, other: float, progress: float, jitter: float
) -> None:
    younger, older = sorted((one, other))
    assert poll_delay(younger, 30.0, progress, jitter) <= poll_delay(older, 30.0, progress, jitter)


@given(st.floats(0, 150), st.floats(0, 150), AGES, AGES, JITTERS)
def test_without_a_progress_a_pause_shrinks_for_five_intervals_and_then_grows(
    young: float, younger: float, old: float, older: float, jitter: float
) -> None:
    at_first = [poll_delay(age, 30.0, None, jitter) for age in sorted((young, younger))]
    later = [poll_delay(150.0 + age, 30.0, None, jitter) for age in sorted((old, older))]
    assert at_first == sorted(at_first, reverse=True)
    assert later == sorted(later)


def test_siblings_do_not_march_in_step() -> None:
    assert len({poll_delay(100.0, 30.0, None, step / 10) for step in range(11)}) == 11


# The progress at each age of a video that is never finished.
STUCK: dict[str, Callable[[float], float | None]] = {
    "at 99%": lambda age: 99.0,
    "at 99% after five minutes": lambda age: min(99.0, age / 3),
    "at 90%": lambda age: min(90.0, age),
    "between 98 and 99%": lambda age: 98.0 + int(age) % 2,
    "creeping from 99% on": lambda age: 99.0 + age / 4000,
    "creeping up to 99%": lambda age: 60.0 + min(39.0, age / 10),
    "ever slower": lambda age: 100 * (1 - math.exp(-age / 180)),
}


def polls_in_an_hour(progress_at: Callable[[float], float | None]) -> int:
    start = 1_000_000.0
    now, polls, step = start, 0, first_poll(Wait(start + 1e6, 30.0, since=start), start, MIDDLE)
    while (now := now + step.delay) < start + 3600.0:
        polls += 1
        decided = after_poll(step.wait, Video("v", "processing", progress=progress_at(now - start)), now, MIDDLE)
        assert isinstance(decided, PollAgain)
        step = decided
    return polls


@pytest.mark.parametrize("progress_at", STUCK.values(), ids=STUCK.keys())
def test_a_progress_that_is_stuck_costs_hardly_more_polls_than_none(
    progress_at: Callable[[float], float | None],
) -> None:
    assert polls_in_an_hour(progress_at) < 1.25 * polls_in_an_hour(lambda age: None)


# ------------------------------------------------------------------------------------------ the rate limit


def greedy(rate_limit: RateLimit, seconds: float, step: float) -> list[float]:
    """Send whenever it is free, and return when."""
    sent = []
    for tick in range(int(seconds / step)):
        if rate_limit.is_free(now := tick * step):
            rate_limit.take(now)
            sent.append(now)
    return sent


def most_in_a_window(sent: list[float], seconds: float = 60.0) -> int:
    return max(sum(begin <= one <= begin + seconds for one in sent) for begin in sent)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.floats(0.01, 0.5))
def test_no_minute_ever_sees_more_than_the_cap(cap: int, step: float) -> None:
    assert 1 <= most_in_a_window(greedy(RateLimit(cap), 130.0, step)) <= cap


@pytest.mark.parametrize(("cap", "sent"), [(1, 3), (50, 146), (600, 1500)])
def test_three_minutes_see_nearly_all_that_the_cap_allows(cap: int, sent: int) -> None:
    assert len(greedy(RateLimit(cap), 180.0, 0.01)) >= sent


def test_a_long_rest_saves_nothing_up() -> None:
    rate_limit = RateLimit(60)
    rate_limit.take(0.0)
    assert [rate_limit.is_free(now) for now in (1.0, 1.03, 1000.0)] == [False, True, True]
    rate_limit.take(1000.0)
    assert not rate_limit.is_free(1000.9)


def test_without_a_cap_every_poll_is_free() -> None:
    assert len(greedy(RateLimit(), 10.0, 0.1)) == 100


def test_a_429_stops_all_polls_for_as_long_as_the_gateway_says() -> None:
    rate_limit = RateLimit()
    rate_limit.rate_limited(sent=0.0, now=1.0, retry_after=30.0, jitter=0.0)
    assert [rate_limit.is_free(now) for now in (1.0, 30.9, 31.0)] == [False, False, True]


def test_a_second_429_never_shortens_the_stop_of_the_first() -> None:
    rate_limit = RateLimit()
    rate_limit.rate_limited(0.0, 1.0, 30.0, 0.0)
    rate_limit.rate_limited(0.5, 2.0, 1.0, 0.0)
    assert rate_limit.free_at == 31.0


def test_429s_in_a_row_stop_the_polls_ever_longer_up_to_a_limit() -> None:
    rate_limit, now, stops = RateLimit(), 0.0, []
    for _ in range(9):
        rate_limit.rate_limited(now, now, None, jitter=1.0)
        stops.append(rate_limit.free_at - now)
        now = rate_limit.free_at + 0.001
    assert stops == pytest.approx([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, *[LONGEST_BACKOFF] * 3])


def test_polls_that_were_under_way_together_are_one_429() -> None:
    rate_limit = RateLimit()
    for number in range(100):
        rate_limit.rate_limited(sent=number / 1000, now=1.0 + number / 1000, retry_after=None, jitter=1.0)
    assert (rate_limit.backoff, rate_limit.slowed) == (2.0, 0.1)


def test_a_good_answer_from_before_the_429_does_not_end_the_caution() -> None:
    rate_limit = RateLimit()
    rate_limit.rate_limited(5.0, 6.0, None, 1.0)
    rate_limit.succeeded(sent=5.5)
    assert (rate_limit.backoff, rate_limit.slowed) == (2.0, 0.1)


def test_after_a_429_the_polls_come_back_step_by_step() -> None:
    rate_limit, gaps = RateLimit(), []
    for at in (0.0, 10.0, 20.0):
        rate_limit.rate_limited(at, at, None, 1.0)
    now = rate_limit.free_at
    for _ in range(16):
        gaps.append(round(rate_limit.spacing, 3))
        rate_limit.take(now)
        now = max(now, rate_limit.free_at) + 1e-6
        rate_limit.succeeded(now)
    assert gaps == sorted(gaps, reverse=True)
    assert (gaps[0], gaps[1], gaps[-1], rate_limit.backoff) == (0.4, 0.3, 0.0, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 300), JITTERS), max_size=40))
def test_whatever_comes_the_rate_limit_never_stops_for_good(events: list[tuple[bool, float | None, float]]) -> None:
    rate_limit, now = RateLimit(50), 0.0
    for is_limited, retry_after, jitter in events:
        now = max(now, rate_limit.free_at)
        rate_limit.take(now)
        if is_limited:
            rate_limit.rate_limited(now, now, retry_after, jitter)
        else:
            rate_limit.succeeded(now)
        assert math.isfinite(rate_limit.free_at)
        assert rate_limit.free_at - now <= max(retry_after or 0.0, LONGEST_BACKOFF) + 0.001
