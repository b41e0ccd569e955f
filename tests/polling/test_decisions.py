"""What follows each poll of a wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waits import (
    BAD_KEY,
    BLOCKED,
    BROKEN,
    DONE,
    FAILED,
    FAULT,
    GONE,
    LATE,
    MIDDLE,
    MISSING,
    NOW,
    PAGE,
    QUEUED,
    RUNNING,
    SLOW_DOWN,
    STALE,
    STRANGE,
    WAIT,
    again,
    end,
    timed_out,
)

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import (
    CONTENT_IN_TASK,
    LONGEST_RETRY_AFTER,
    MAX_FAILED_POLLS,
    MAX_NOT_FOUND,
    PATIENCE_ANSWERS,
    PATIENCE_SINCE_CREATE,
    PATIENCE_SINCE_FIRST,
    Ended,
    PollAgain,
    Wait,
    after_missing_content,
    after_poll,
    as_poll_error,
    first_poll,
)

HURRY = replace(WAIT, deadline=NOW + 3.0)


def plain(step: PollAgain | Ended) -> Any:
    """Make a step comparable: errors compare by what they say."""
    if isinstance(step, PollAgain):
        return ("again", step.wait, round(step.delay, 6))
    return ("end", step.outcome, step.video, step.error.as_dict() if step.error else None)


def failure(kind: type[errors.WisdomGateError], video: Video, reason: str, **facts: Any) -> errors.WisdomGateError:
    return kind(f"The gateway reports the video as {video.status}: {reason}", video_id="v", **facts)


POLLS: dict[str, tuple[Wait, Video | errors.WisdomGateError, Any]] = {
    "queued": (WAIT, QUEUED, again(10.0, last=QUEUED)),
    "running": (WAIT, RUNNING, again(10.0, last=RUNNING)),
    "a word never seen": (WAIT, STRANGE, again(10.0, last=STRANGE)),
    "no word": (WAIT, Video("v"), again(10.0, last=Video("v"))),
    "done": (WAIT, DONE, end("ready", DONE)),
    "done after the deadline": (LATE, DONE, end("ready", DONE)),
    "done, and its time seems to be over": (WAIT, STALE, end("ready", STALE)),
    "failed": (
        WAIT,
        FAILED,
        end("failed", FAILED, failure(errors.VideoFailedError, FAILED, "no luck", code="server_error")),
    ),
    "failed after the deadline": (
        LATE,
        FAILED,
        end("failed", FAILED, failure(errors.VideoFailedError, FAILED, "no luck", code="server_error")),
    ),
    "moderation": (
        WAIT,
        BLOCKED,
        end("failed", BLOCKED, failure(errors.ModerationError, BLOCKED, "no", code="moderation_blocked")),
    ),
    "the word expired": (WAIT, GONE, end("expired", GONE, failure(errors.VideoExpiredError, GONE, "no reason given"))),
    "running at the deadline": (LATE, RUNNING, timed_out("last seen in_progress (40%)", RUNNING)),
    "queued at the deadline": (LATE, QUEUED, timed_out("last seen queued (progress unknown)", QUEUED)),
    "a failed poll at the deadline": (LATE, FAULT, timed_out("never seen")),
    "429 at the deadline": (LATE, SLOW_DOWN, timed_out("never seen")),
    "just before the deadline": (HURRY, QUEUED, again(3.0, HURRY, last=QUEUED)),
    "a fault": (WAIT, FAULT, again(3.333333, failed_polls=1)),
    "a broken connection": (WAIT, BROKEN, again(3.333333, failed_polls=1)),
    "the second failed poll in a row": (
        replace(WAIT, failed_polls=1, last=RUNNING),
        FAULT,
        again(6.666667, failed_polls=2, last=RUNNING),
    ),
    "the third": (replace(WAIT, failed_polls=2), FAULT, again(13.333333, failed_polls=3)),
    "the fourth": (replace(WAIT, failed_polls=3), FAULT, again(26.666667, failed_polls=4)),
    "the fifth, capped": (replace(WAIT, failed_polls=4), FAULT, again(40.0, failed_polls=5)),
    "the last but one": (
        replace(WAIT, failed_polls=MAX_FAILED_POLLS - 2),
        FAULT,
        again(40.0, failed_polls=MAX_FAILED_POLLS - 1),
    ),
    "the last failed poll": (
        replace(WAIT, failed_polls=MAX_FAILED_POLLS - 1, last=RUNNING),
        FAULT,
        end("refused", RUNNING, FAULT),
    ),
    "a 401 as the last one has its second chance": (
        replace(WAIT, failed_polls=MAX_FAILED_POLLS - 1, last=RUNNING),
        BAD_KEY,
        again(40.0, failed_polls=MAX_FAILED_POLLS, unauthorized=1, last=RUNNING),
    ),
    "and is over if that is a fault": (
        replace(WAIT, failed_polls=MAX_FAILED_POLLS, unauthorized=1, last=RUNNING),
        FAULT,
        end("refused", RUNNING, FAULT),
    ),
    "a 404 as the last one": (
        replace(WAIT, failed_polls=MAX_FAILED_POLLS - 1),
        MISSING,
        again(40.0, failed_polls=MAX_FAILED_POLLS, not_found=1),
    ),
    "a good poll after failed polls": (replace(WAIT, failed_polls=9), RUNNING, again(10.0, last=RUNNING)),
    "429 is no failed poll": (replace(WAIT, failed_polls=9), SLOW_DOWN, again(10.0, failed_polls=9)),
    "401 at first, the connection is read again": (WAIT, BAD_KEY, again(3.333333, failed_polls=1, unauthorized=1)),
    "401 again": (replace(WAIT, failed_polls=1, unauthorized=1), BAD_KEY, end("refused", None, BAD_KEY)),
    "401 again, and it was seen before": (
        replace(WAIT, failed_polls=1, unauthorized=1, last=RUNNING),
        BAD_KEY,
        end("refused", RUNNING, BAD_KEY),
    ),
    "401, then the new key": (replace(WAIT, failed_polls=1, unauthorized=1), QUEUED, again(10.0, last=QUEUED)),
    "a page of an ingress": (WAIT, PAGE, again(3.333333, failed_polls=1)),
    "a page of an ingress after a 404": (
        replace(WAIT, failed_polls=2, not_found=2, not_found_since=NOW),
        PAGE,
        again(13.333333, failed_polls=3, not_found=2),
    ),
    "404 at first": (WAIT, MISSING, again(3.333333, failed_polls=1, not_found=1)),
    "404 again": (replace(WAIT, failed_polls=1, not_found=1), MISSING, again(6.666667, failed_polls=2, not_found=2)),
    "404 after faults": (replace(WAIT, failed_polls=2), MISSING, again(13.333333, failed_polls=3, not_found=1)),
    "404 for good": (
        replace(WAIT, failed_polls=2, not_found=MAX_NOT_FOUND - 1),
        MISSING,
        end("refused", None, MISSING),
    ),
    "404, then known": (replace(WAIT, failed_polls=2, not_found=2), QUEUED, again(10.0, last=QUEUED)),
}


@pytest.mark.parametrize(("wait", "seen", "expected"), POLLS.values(), ids=POLLS.keys())
def test_what_follows_a_poll(wait: Wait, seen: Video | errors.WisdomGateError, expected: Any) -> None:
    assert plain(after_poll(wait, seen, NOW, MIDDLE)) == expected


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", [errors.RateLimitedError, errors.GatewayFaultError])
def test_nobody_polls_again_before_the_time_the_gateway_asked_for(
    kind: type[errors.WisdomGateError], jitter: float
) -> None:
    step = after_poll(WAIT, kind("m", retry_after=60.0), NOW, jitter)
    assert isinstance(step, PollAgain)
    assert 60.0 <= step.delay <= 72.0


def test_a_request_to_wait_longer_than_there_is_time_leads_to_a_last_poll_at_the_deadline() -> None:
    step = after_poll(HURRY, errors.RateLimitedError("m", retry_after=86_400.0), NOW, 1.0)
    assert plain(step) == again(3.0, HURRY)


@pytest.mark.parametrize("kind", [errors.RateLimitedError, errors.GatewayFaultError])
def test_no_answer_silences_a_wait_for_longer_than_five_minutes(kind: type[errors.WisdomGateError]) -> None:
    step = after_poll(WAIT, kind("m", retry_after=86_400.0), NOW, MIDDLE)
    assert isinstance(step, PollAgain)
    assert step.delay == LONGEST_RETRY_AFTER


def test_whoever_polls_more_seldom_than_that_is_asked_to_wait_for_no_longer_than_its_own_interval() -> None:
    wait = replace(WAIT, deadline=NOW + 86_400.0, poll_interval=900.0)
    step = after_poll(wait, errors.RateLimitedError("m", retry_after=7_200.0), NOW, MIDDLE)
    assert plain(step) == again(900.0, wait)


@pytest.mark.parametrize(("jitter", "delay"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
def test_chance_moves_a_poll_by_a_tenth(jitter: float, delay: float) -> None:
    assert plain(after_poll(WAIT, QUEUED, NOW, jitter)) == again(delay, last=QUEUED)


@pytest.mark.parametrize(
    ("since", "seen", "delay"),
    [
        (NOW, QUEUED, 10.0),
        (NOW - 30.0, QUEUED, 8.0),
        (NOW - 150.0, QUEUED, 7.5),
        (NOW - 500.0, QUEUED, 10.0),
        (NOW - 150.0, Video("v", "queued", created_at=NOW - 180.0), 9.0),
        (NOW - 150.0, Video("v", "queued", created_at=NOW - 20.0), 7.5),
        (NOW - 150.0, Video("v", "queued", created_at=NOW - 90_000.0), 7.5),
        (NOW - 150.0, Video("v", "queued", created_at=NOW + 90_000.0), 7.5),
        (NOW - 150.0, Video("v", "in_progress", progress=90.0), 5.0),
        (NOW - 150.0, Video("v", "in_progress", progress=1.0), 10.0),
        (NOW - 150.0, Video("v", "in_progress", progress=0.0), 7.5),
        (NOW - 150.0, Video("v", "in_progress", progress=100.0), 7.5),
        (NOW - 150.0, Video("v", "in_progress", progress=-7.0), 7.5),
    ],
    ids=[
        "just begun",
        "younger than five intervals",
        "a while ago",
        "long ago",
        "asked for before the wait",
        "asked for after the wait began",
        "asked for days ago, or a clock is wrong",
        "asked for in the future",
        "nearly done",
        "hardly begun",
        "no progress",
        "progress at its end",
        "a progress that is none",
    ],
)
def test_the_pause_follows_the_age_of_the_job_and_shrinks_towards_its_end(
    since: float, seen: Video, delay: float
) -> None:
    wait = replace(WAIT, since=since)
    assert plain(after_poll(wait, seen, NOW, MIDDLE)) == again(delay, wait, last=seen)


@pytest.mark.parametrize(
    ("wait", "delay"),
    [(WAIT, 10.0), (replace(WAIT, deadline=NOW + 1.0), 1.0), (replace(WAIT, deadline=NOW - 5), 0.0)],
)
def test_the_first_poll_waits_until_something_can_be_ready_and_never_beyond_the_deadline(
    wait: Wait, delay: float
) -> None:
    assert plain(first_poll(wait, NOW, MIDDLE)) == ("again", wait, delay)


def play(seen: Iterable[Video | errors.WisdomGateError], timeout: float = 600.0, jitter: float = 1.0) -> Any:
    """Play a whole wait, the last thing seen repeating for ever: (seconds it took, polls, outcome)."""
    now, wait, polls = NOW, replace(WAIT, deadline=NOW + timeout), 0
    script = list(seen)
    while True:
        step = after_poll(wait, script[min(polls, len(script) - 1)], now, jitter)
        polls += 1
        if isinstance(step, Ended):
            return round(now - NOW, 3), polls, step.outcome
        assert step.delay > 0, "a poll without a pause before it"
        now, wait = now + step.delay, step.wait


NEARLY = [FAULT] * (MAX_FAILED_POLLS - 1)

WAITS: dict[str, tuple[list[Video | errors.WisdomGateError], Any]] = {
    "done at the first poll": ([DONE], (0.0, 1, "ready")),
    "done at the third": ([QUEUED, RUNNING, DONE], (20.0, 3, "ready")),
    "a strange word, then done": ([STRANGE, DONE], (10.0, 2, "ready")),
    "running for ever": ([RUNNING], (600.0, 61, "timed_out")),
    "a strange word for ever": ([STRANGE], (600.0, 61, "timed_out")),
    "faults for ever": ([FAULT], (250.0, 10, "refused")),
    "unknown for ever": ([MISSING], (10.0, 3, "refused")),
    "unknown at first": ([MISSING, MISSING, QUEUED, DONE], (20.0, 4, "ready")),
    "429 for ever": ([SLOW_DOWN], (600.0, 61, "timed_out")),
    "a good poll between the faults": ([*NEARLY, RUNNING, *NEARLY, RUNNING], (600.0, 29, "timed_out")),
    "a bad key in the middle": ([RUNNING, BAD_KEY], (13.333, 3, "refused")),
    "a new key in the middle": ([RUNNING, BAD_KEY, RUNNING, DONE], (23.333, 4, "ready")),
    "pages of an ingress in the middle": ([RUNNING, *[PAGE] * (MAX_FAILED_POLLS - 1), DONE], (260.0, 11, "ready")),
}


@pytest.mark.parametrize(("seen", "expected"), WAITS.values(), ids=WAITS.keys())
def test_a_whole_wait_ends_as_it_should(seen: list[Video | errors.WisdomGateError], expected: Any) -> None:
    assert play(seen, jitter=MIDDLE) == expected


def test_so_many_failed_polls_in_a_row_end_a_long_wait() -> None:
    assert play([FAULT], timeout=86_400.0, jitter=MIDDLE) == (250.0, MAX_FAILED_POLLS, "refused")


def test_one_good_poll_forgives_all_the_failed_polls_before_it() -> None:
    assert play([*NEARLY, RUNNING, *NEARLY, RUNNING, *NEARLY, DONE], timeout=86_400.0)[1:] == (30, "ready")


def test_a_video_finished_during_the_last_sleep_is_still_ready() -> None:
    assert play([*[RUNNING] * 60, DONE], jitter=MIDDLE) == (600.0, 61, "ready")


SEEN = st.sampled_from([QUEUED, RUNNING, STRANGE, DONE, STALE, FAILED, GONE, FAULT, MISSING, SLOW_DOWN, BAD_KEY, PAGE])


@settings(deadline=None)
@given(st.lists(SEEN, min_size=1, max_size=20), st.floats(1, 2_000), st.floats(0, 1))
def test_any_wait_ends_soon_after_its_deadline_at_the_latest(
    seen: list[Video | errors.WisdomGateError], timeout: float, jitter: float
) -> None:
    took, polls, outcome = play(seen, timeout, jitter)
    assert took <= timeout + 0.001
    # three seconds between two polls at least, but for the last one
    assert polls <= timeout / 2.99 + 2
    assert outcome in ("ready", "failed", "expired", "timed_out", "refused")


# ---- patience with a paid video


PAID = replace(WAIT, created_at=NOW - PATIENCE_SINCE_CREATE, deadline=NOW + 1e6)
FIRST = NOW - PATIENCE_SINCE_FIRST
ENOUGH = replace(PAID, not_found=PATIENCE_ANSWERS - 1, not_found_since=FIRST)
WRONG_GATEWAY = errors.WrongGatewayError("elsewhere")
PATIENCE: dict[str, tuple[Wait, bool]] = {
    "old, since long, often enough": (ENOUGH, True),
    "made less than 15 minutes ago": (replace(ENOUGH, created_at=NOW - PATIENCE_SINCE_CREATE + 1), False),
    "unknown for less than 5 minutes": (replace(ENOUGH, not_found_since=FIRST + 1), False),
    "fewer than 5 answers": (replace(ENOUGH, not_found=PATIENCE_ANSWERS - 2), False),
    "the first such answer": (PAID, False),
    "an id that a user gave": (replace(ENOUGH, created_at=None, not_found=MAX_NOT_FOUND - 1), True),
}


@pytest.mark.parametrize(("wait", "ends"), PATIENCE.values(), ids=PATIENCE.keys())
def test_a_paid_video_that_is_unknown_gets_fifteen_minutes_five_minutes_and_five_answers(
    wait: Wait, ends: bool
) -> None:
    for seen in (MISSING, errors.VideoExpiredError("the route answers so", status=404)):
        assert isinstance(after_poll(wait, seen, NOW, MIDDLE), Ended) is ends
    assert isinstance(after_missing_content(wait, MISSING, NOW), Ended) is ends


def test_one_good_poll_resets_the_patience() -> None:
    step = after_poll(ENOUGH, RUNNING, NOW, MIDDLE)
    assert isinstance(step, PollAgain)
    assert (step.wait.not_found, step.wait.not_found_since) == (0, None)


@pytest.mark.parametrize("kind", [errors.ModerationError, errors.VideoFailedError, errors.VideoFailedForGoodError])
def test_no_error_answer_to_a_poll_ends_a_video(kind: type[errors.WisdomGateError]) -> None:
    assert type(as_poll_error(kind("no"))) is errors.UnexpectedReplyError
    assert isinstance(after_poll(PAID, kind("no"), NOW, MIDDLE), PollAgain)


@pytest.mark.parametrize("error", [FAULT, BAD_KEY, MISSING, WRONG_GATEWAY, SLOW_DOWN], ids=lambda error: type(error))
def test_every_other_error_of_a_poll_stays_what_it_is(error: errors.WisdomGateError) -> None:
    assert as_poll_error(error) is error


def test_a_connection_to_another_gateway_is_a_failed_poll() -> None:
    step = after_poll(PAID, WRONG_GATEWAY, NOW, MIDDLE)
    assert isinstance(step, PollAgain)
    assert step.wait.failed_polls == 1


def test_a_wait_for_content_holds_no_worker_after_its_first_minute() -> None:
    now, wait, in_task = NOW, replace(PAID, created_at=NOW), 0.0
    while isinstance(step := after_missing_content(wait, MISSING, now, can_defer=True), PollAgain):
        assert 0 < step.delay <= LONGEST_RETRY_AFTER
        in_task += step.delay if step.delay <= CONTENT_IN_TASK else 0.0
        now, wait = now + step.delay, step.wait
    assert step == Ended("refused", None, MISSING)
    assert now - NOW >= PATIENCE_SINCE_CREATE
    assert in_task <= 2 * CONTENT_IN_TASK


def test_a_wait_for_content_ends_at_the_deadline() -> None:
    end = after_missing_content(replace(PAID, deadline=NOW), MISSING, NOW)
    assert isinstance(end, Ended)
    assert (end.outcome, type(end.error)) == ("timed_out", errors.WaitTimeoutError)  # on_gone must not pay for it
    step = after_missing_content(replace(PAID, deadline=NOW + 0.5), MISSING, NOW)
    assert isinstance(step, PollAgain)
    assert step.delay == 0.5
