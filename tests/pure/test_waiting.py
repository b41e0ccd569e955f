"""What follows a look or a failed request: tables, and whole waits played through with a clock that is a number."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.retry import ONCE, RetryPolicy, is_surely_not_created, retry_delay
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import (
    MAX_FAILED_POLLS,
    MAX_NOT_FOUND,
    Ended,
    PollAgain,
    Wait,
    after_poll,
    first_poll,
    log_line,
)
from airflow_provider_wisdomgate.polling.events import EVENT_VERSION, event_of, result_of, video_of

NOW = 1_000_000.0
MIDDLE = 0.5  # the jitter that changes nothing
# Begun so long ago that the pause between looks has grown to all of poll_interval.
WAIT = Wait(deadline=NOW + 600.0, poll_interval=10.0, since=NOW - 1000.0)
LATE = replace(WAIT, deadline=NOW)

HURRY = replace(WAIT, deadline=NOW + 3.0)

QUEUED = Video("v", "queued")
RUNNING = Video("v", "in_progress", progress=40.0)
STRANGE = Video("v", "uploading", progress=100.0, completed_at=1.0)
DONE = Video("v", "completed", expires_at=NOW + 3600.0)
STALE = Video("v", "completed", expires_at=NOW)
FAILED = Video("v", "failed", error_code="server_error", error_message="no luck")
BLOCKED = Video("v", "failed", error_code="moderation_blocked", error_message="no")
GONE = Video("v", "expired")

FAULT = errors.GatewayFaultError("fault", status=502)
BROKEN = errors.ConnectionBrokenError("broken")
MISSING = errors.VideoNotFoundError("unknown", status=404)
SLOW_DOWN = errors.RateLimitedError("slow down", status=429)
BAD_KEY = errors.AuthenticationError("bad key", status=401)


def plain(step: PollAgain | Ended) -> Any:
    """Make a step comparable: errors compare by what they say."""
    if isinstance(step, PollAgain):
        return ("again", step.wait, round(step.delay, 6))
    return ("end", step.outcome, step.video, step.error.as_dict() if step.error else None)


def again(
    delay: float, wait: Wait = WAIT, *, failed_polls: int = 0, not_found: int = 0, last: Video | None = None
) -> Any:
    return ("again", replace(wait, failed_polls=failed_polls, not_found=not_found, last=last), delay)


def end(outcome: str, video: Video | None = None, error: errors.WisdomGateError | None = None) -> Any:
    return ("end", outcome, video, error.as_dict() if error else None)


def failure(kind: type[errors.WisdomGateError], video: Video, reason: str, **facts: Any) -> errors.WisdomGateError:
    return kind(f"The gateway reports the video as {video.status}: {reason}", video_id="v", **facts)


def timed_out(status: str, video: Video | None = None) -> Any:
    return end(
        "timed_out",
        video,
        errors.WaitTimeoutError(
            f"The deadline passed before the video was finished ({status})",
            video_id=video.id if video else None,
            next_step="It goes on at the gateway: run the task again to go on waiting, or give it a longer timeout.",
        ),
    )


EXPIRED = errors.VideoExpiredError(
    "The video was finished, and its time at the gateway is over", video_id="v", expires_at=NOW
)
LOOKS: dict[str, tuple[Wait, Video | errors.WisdomGateError, Any]] = {
    "queued": (WAIT, QUEUED, again(10.0, last=QUEUED)),
    "running": (WAIT, RUNNING, again(10.0, last=RUNNING)),
    "a word never seen": (WAIT, STRANGE, again(10.0, last=STRANGE)),
    "no word": (WAIT, Video("v"), again(10.0, last=Video("v"))),
    "done": (WAIT, DONE, end("ready", DONE)),
    "done after the deadline": (LATE, DONE, end("ready", DONE)),
    "done, and its time is over": (WAIT, STALE, end("expired", STALE, EXPIRED)),
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
    "a miss at the deadline": (LATE, FAULT, timed_out("never seen")),
    "429 at the deadline": (LATE, SLOW_DOWN, timed_out("never seen")),
    "just before the deadline": (HURRY, QUEUED, again(3.0, HURRY, last=QUEUED)),
    "a fault": (WAIT, FAULT, again(3.333333, failed_polls=1)),
    "a broken connection": (WAIT, BROKEN, again(3.333333, failed_polls=1)),
    "the second miss in a row": (
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
    "the last miss": (
        replace(WAIT, failed_polls=MAX_FAILED_POLLS - 1, last=RUNNING),
        FAULT,
        end("refused", RUNNING, FAULT),
    ),
    "a good look after failed_polls": (replace(WAIT, failed_polls=9), RUNNING, again(10.0, last=RUNNING)),
    "429 is no miss": (replace(WAIT, failed_polls=9), SLOW_DOWN, again(10.0, failed_polls=9)),
    "401": (WAIT, BAD_KEY, end("refused", None, BAD_KEY)),
    "401 after a good look": (replace(WAIT, failed_polls=0, last=RUNNING), BAD_KEY, end("refused", RUNNING, BAD_KEY)),
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


@pytest.mark.parametrize(("wait", "seen", "expected"), LOOKS.values(), ids=LOOKS.keys())
def test_what_follows_a_look(wait: Wait, seen: Video | errors.WisdomGateError, expected: Any) -> None:
    assert plain(after_poll(wait, seen, NOW, MIDDLE)) == expected


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", [errors.RateLimitedError, errors.GatewayFaultError])
def test_nobody_looks_again_before_the_time_the_gateway_asked_for(
    kind: type[errors.WisdomGateError], jitter: float
) -> None:
    step = after_poll(WAIT, kind("m", retry_after=60.0), NOW, jitter)
    assert isinstance(step, PollAgain)
    assert 60.0 <= step.delay <= 72.0


def test_a_request_to_wait_longer_than_there_is_time_leads_to_a_last_look_at_the_deadline() -> None:
    step = after_poll(WAIT, errors.RateLimitedError("m", retry_after=86_400.0), NOW, 1.0)
    assert plain(step) == again(600.0)


@pytest.mark.parametrize(("jitter", "delay"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
def test_chance_moves_a_look_by_a_tenth(jitter: float, delay: float) -> None:
    assert plain(after_poll(WAIT, QUEUED, NOW, jitter)) == again(delay, last=QUEUED)


@pytest.mark.parametrize(
    ("since", "seen", "delay"),
    [
        (NOW, QUEUED, 6.666667),
        (NOW - 150.0, QUEUED, 7.5),
        (NOW - 500.0, QUEUED, 10.0),
        (NOW - 150.0, Video("v", "queued", created_at=NOW - 180.0), 9.0),
        (NOW - 150.0, Video("v", "queued", created_at=NOW - 20.0), 7.5),
        (NOW - 150.0, Video("v", "queued", created_at=NOW - 90_000.0), 7.5),
        (NOW - 150.0, Video("v", "queued", created_at=NOW + 90_000.0), 7.5),
        (NOW - 150.0, Video("v", "in_progress", progress=90.0), 5.833333),
        (NOW - 150.0, Video("v", "in_progress", progress=1.0), 10.0),
        (NOW - 150.0, Video("v", "in_progress", progress=0.0), 7.5),
        (NOW - 150.0, Video("v", "in_progress", progress=100.0), 7.5),
        (NOW - 150.0, Video("v", "in_progress", progress=-7.0), 7.5),
    ],
    ids=[
        "just begun",
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
def test_the_pause_grows_with_the_age_of_the_job_and_shrinks_towards_its_end(
    since: float, seen: Video, delay: float
) -> None:
    wait = replace(WAIT, since=since)
    assert plain(after_poll(wait, seen, NOW, MIDDLE)) == again(delay, wait, last=seen)


@pytest.mark.parametrize(
    ("wait", "delay"),
    [(WAIT, 6.666667), (replace(WAIT, deadline=NOW + 1.0), 1.0), (replace(WAIT, deadline=NOW - 5), 0.0)],
)
def test_the_first_look_waits_until_something_can_be_ready_and_never_beyond_the_deadline(
    wait: Wait, delay: float
) -> None:
    assert plain(first_poll(wait, NOW, MIDDLE)) == ("again", wait, delay)


# ----------------------------------------------------------------------------------------- simulation


def play(seen: Iterable[Video | errors.WisdomGateError], timeout: float = 600.0, jitter: float = 1.0) -> Any:
    """Play a whole wait, the last thing seen repeating for ever: (seconds it took, looks, outcome)."""
    now, wait, looks = NOW, replace(WAIT, deadline=NOW + timeout), 0
    script = list(seen)
    while True:
        step = after_poll(wait, script[min(looks, len(script) - 1)], now, jitter)
        looks += 1
        if isinstance(step, Ended):
            return round(now - NOW, 3), looks, step.outcome
        assert step.delay > 0, "a look without a pause before it"
        now, wait = now + step.delay, step.wait


NEARLY = [FAULT] * (MAX_FAILED_POLLS - 1)
WAITS: dict[str, tuple[list[Video | errors.WisdomGateError], Any]] = {
    "done at the first look": ([DONE], (0.0, 1, "ready")),
    "done at the third": ([QUEUED, RUNNING, DONE], (20.0, 3, "ready")),
    "a strange word, then done": ([STRANGE, DONE], (10.0, 2, "ready")),
    "running for ever": ([RUNNING], (600.0, 61, "timed_out")),
    "a strange word for ever": ([STRANGE], (600.0, 61, "timed_out")),
    "faults for ever": ([FAULT], (250.0, 10, "refused")),
    "unknown for ever": ([MISSING], (10.0, 3, "refused")),
    "unknown at first": ([MISSING, MISSING, QUEUED, DONE], (20.0, 4, "ready")),
    "429 for ever": ([SLOW_DOWN], (600.0, 61, "timed_out")),
    "a good look between the faults": ([*NEARLY, RUNNING, *NEARLY, RUNNING], (600.0, 29, "timed_out")),
    "a bad key in the middle": ([RUNNING, BAD_KEY], (10.0, 2, "refused")),
}


@pytest.mark.parametrize(("seen", "expected"), WAITS.values(), ids=WAITS.keys())
def test_a_whole_wait_ends_as_it_should(seen: list[Video | errors.WisdomGateError], expected: Any) -> None:
    assert play(seen, jitter=MIDDLE) == expected


def test_so_many_misses_in_a_row_end_a_long_wait() -> None:
    assert play([FAULT], timeout=86_400.0, jitter=MIDDLE) == (250.0, MAX_FAILED_POLLS, "refused")


def test_one_good_look_forgives_all_the_misses_before_it() -> None:
    assert play([*NEARLY, RUNNING, *NEARLY, RUNNING, *NEARLY, DONE], timeout=86_400.0)[1:] == (30, "ready")


def test_a_video_finished_during_the_last_sleep_is_still_ready() -> None:
    assert play([*[RUNNING] * 60, DONE], jitter=MIDDLE) == (600.0, 61, "ready")


SEEN = st.sampled_from([QUEUED, RUNNING, STRANGE, DONE, STALE, FAILED, GONE, FAULT, MISSING, SLOW_DOWN, BAD_KEY])


@settings(deadline=None)
@given(st.lists(SEEN, min_size=1, max_size=20), st.floats(1, 2_000), st.floats(0, 1))
def test_any_wait_ends_soon_after_its_deadline_at_the_latest(
    seen: list[Video | errors.WisdomGateError], timeout: float, jitter: float
) -> None:
    took, looks, outcome = play(seen, timeout, jitter)
    assert took <= timeout + 0.001
    # three seconds between two looks at least, but for the last one
    assert looks <= timeout / 2.99 + 2
    assert outcome in ("ready", "failed", "expired", "timed_out", "refused")


# ------------------------------------------------------------------------------------------ ask again

PATIENCE = RetryPolicy(attempts=3, base=1.0, cap=5.0)
CLASSES = [k for k in vars(errors).values() if inspect.isclass(k) and issubclass(k, errors.WisdomGateError)]
USUAL_STATUS: dict[str, int] = {
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "BadRequestError": 400,
    "ModerationError": 400,
    "ModelNotFoundError": 503,
    "VideoNotFoundError": 404,
    "VideoExpiredError": 410,
    "RateLimitedError": 429,
    "VideoNotReadyError": 202,
    "GatewayFaultError": 500,
    "UnexpectedReplyError": 200,
}
# What a look may be sent again after. Of these, all but two may have reached the gateway: no create after them.
PASSING = {
    "UnreachableError",
    "ConnectionBrokenError",
    "RateLimitedError",
    "VideoNotReadyError",
    "GatewayFaultError",
    "UnexpectedReplyError",
    "ContentError",
}
NEVER_ARRIVED = {"UnreachableError", "RateLimitedError"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("idempotent", [True, False], ids=["a look", "a create"])
def test_a_create_is_asked_again_only_if_it_surely_was_unmade(
    kind: type[errors.WisdomGateError], idempotent: bool
) -> None:
    error = kind("m", status=USUAL_STATUS.get(kind.__name__))
    delay = retry_delay(error, idempotent=idempotent, attempt=1, policy=PATIENCE, jitter=1.0)
    assert delay == (1.0 if kind.__name__ in (PASSING if idempotent else NEVER_ARRIVED) else None)


@settings(deadline=None)
@given(
    st.sampled_from(CLASSES),
    st.none() | st.integers(100, 599),
    st.none() | st.sampled_from(["get_channel_failed", "model_not_found", "x"]),
    st.integers(1, 5),
    st.none() | st.floats(0, 100),
)
def test_whatever_may_have_made_a_video_is_not_sent_twice(
    kind: type[errors.WisdomGateError], status: int | None, code: str | None, attempt: int, retry_after: float | None
) -> None:
    error = kind("m", status=status, code=code, retry_after=retry_after)
    delay = retry_delay(error, idempotent=False, attempt=attempt, policy=PATIENCE, jitter=0.5)
    assert delay is None or is_surely_not_created(error)


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (errors.GatewayFaultError("m", status=503), None),
        (errors.GatewayFaultError("m", status=503, code="get_channel_failed"), 1.0),
        (errors.GatewayFaultError("m", status=503, code="model_not_found"), None),
        (errors.GatewayFaultError("m", status=408), None),
        (errors.GatewayFaultError("m", status=524), None),
        (errors.UnexpectedReplyError("m", status=200), None),
        (errors.UnexpectedReplyError("m", status=303), None),
        (errors.ConnectionBrokenError("m"), None),
        (errors.UnreachableError("m"), 1.0),
        (errors.RateLimitedError("m", status=429), 1.0),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.status}-{value.code}" if isinstance(value, Exception) else None,
)
def test_a_create_that_may_have_arrived_is_not_sent_twice(error: errors.WisdomGateError, delay: float | None) -> None:
    assert retry_delay(error, idempotent=False, attempt=1, policy=PATIENCE, jitter=1.0) == delay


@pytest.mark.parametrize(
    ("attempt", "retry_policy", "jitter", "delay"),
    [
        (1, PATIENCE, 1.0, 1.0),
        (1, PATIENCE, 0.0, 0.5),
        (2, PATIENCE, 1.0, 2.0),
        (3, PATIENCE, 1.0, None),
        (4, RetryPolicy(attempts=9, base=1.0, cap=5.0), 1.0, 5.0),
        (1, ONCE, 1.0, None),
    ],
)
def test_the_pause_doubles_up_to_a_cap_and_the_tries_are_bounded(
    attempt: int, retry_policy: RetryPolicy, jitter: float, delay: float | None
) -> None:
    assert retry_delay(FAULT, idempotent=True, attempt=attempt, policy=retry_policy, jitter=jitter) == delay


@pytest.mark.parametrize(("asked", "delay"), [(0.0, 0.5), (4.0, 4.0), (5.0, 5.0), (5.1, None)])
def test_the_pause_the_gateway_asks_for_is_kept_and_one_that_is_too_long_ends_the_tries(
    asked: float, delay: float | None
) -> None:
    error = errors.RateLimitedError("m", status=429, retry_after=asked)
    assert retry_delay(error, idempotent=True, attempt=1, policy=PATIENCE, jitter=0.0) == delay


# ------------------------------------------------------------------------------------------- the event

BASE_EVENT = {"version": EVENT_VERSION, "video_id": "v", "outcome": "ready", "video": DONE.as_dict(), "error": None}


def test_an_event_is_plain_json_and_all_there_is() -> None:
    event = event_of("v", Ended("refused", RUNNING, FAULT))
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert event == {
        "version": 1,
        "video_id": "v",
        "outcome": "refused",
        "video": RUNNING.as_dict(),
        "error": {"error": "GatewayFaultError", "message": "fault", "next_step": None, "status": 502},
    }


def test_an_event_never_holds_the_prompt() -> None:
    video = Video("v", "completed", prompt="a secret cat")
    assert "secret" not in json.dumps(event_of("v", Ended("ready", video)))


ENDS: dict[str, tuple[Video | errors.WisdomGateError, Wait]] = {
    "ready": (DONE, WAIT),
    "failed": (FAILED, WAIT),
    "moderation": (BLOCKED, WAIT),
    "expired": (STALE, WAIT),
    "expired by its word": (GONE, WAIT),
    "timed out": (RUNNING, LATE),
    "timed out, never seen": (FAULT, LATE),
    "refused": (BAD_KEY, WAIT),
}


def outcome(take: Any) -> Any:
    try:
        return take()
    except errors.WisdomGateError as error:
        return error.as_dict() | {"text": str(error)}


@pytest.mark.parametrize("may_recreate", [True, False])
@pytest.mark.parametrize(("seen", "wait"), ENDS.values(), ids=ENDS.keys())
def test_an_end_says_the_same_on_both_sides_of_the_database(
    seen: Video | errors.WisdomGateError, wait: Wait, may_recreate: bool
) -> None:
    step = after_poll(wait, seen, NOW, MIDDLE)
    assert isinstance(step, Ended)
    event = json.loads(json.dumps(event_of("v", step)))
    here = outcome(lambda: result_of(step, may_recreate=may_recreate))
    assert outcome(lambda: video_of(event, may_recreate=may_recreate)) == here
    if seen is DONE:
        assert here == DONE
    elif step.error and (may_recreate or step.outcome != "failed"):
        assert here == step.error.as_dict() | {"text": str(step.error)}


def test_a_failed_video_is_final_for_who_cannot_make_another() -> None:
    event = event_of("v", Ended("failed", FAILED))
    with pytest.raises(errors.VideoFailedForGoodError):
        video_of(event, may_recreate=False)


JUNK: dict[str, Any] = {
    "None": None,
    "empty": {},
    "text": "ready",
    "a list": [BASE_EVENT],
    "a number": 5,
    "no version": {k: v for k, v in BASE_EVENT.items() if k != "version"},
    "another version": BASE_EVENT | {"version": 2},
    "no outcome": {"version": 1},
    "ready without a video": BASE_EVENT | {"video": None},
    "ready with an empty video": BASE_EVENT | {"video": {}},
    "ready with a video of no id": BASE_EVENT | {"video": {"status": "completed"}},
    "ready with an id that is no text": BASE_EVENT | {"video": {"id": 5, "status": "completed"}},
    "video is text": BASE_EVENT | {"video": "v"},
    "video is a list": BASE_EVENT | {"video": [1]},
    "failed with a status that is no text": BASE_EVENT | {"outcome": "failed", "video": {"id": "v", "status": 5}},
    "failed with a code that is no text": BASE_EVENT
    | {"outcome": "failed", "video": {"id": "v", "status": "failed", "error_code": 5}},
    "failed without a video": BASE_EVENT | {"outcome": "failed", "video": None},
    "error is text": BASE_EVENT | {"outcome": "refused", "error": "bad"},
    "error is a list": BASE_EVENT | {"outcome": "refused", "error": [1]},
    "error of an unknown class": BASE_EVENT | {"outcome": "refused", "error": {"error": "Nope", "message": 5}},
    "an error without a message": BASE_EVENT | {"outcome": "refused", "error": {"error": "StoppedError"}},
    "refused without an error": BASE_EVENT | {"outcome": "refused"},
    "an unknown outcome": BASE_EVENT | {"outcome": "exploded"},
    "an outcome that is no text": BASE_EVENT | {"outcome": ["ready"]},
}


@pytest.mark.parametrize("event", JUNK.values(), ids=JUNK.keys())
@pytest.mark.parametrize("may_recreate", [True, False])
def test_an_event_that_is_none_of_ours_is_a_typed_error(event: Any, may_recreate: bool) -> None:
    with pytest.raises(errors.WisdomGateError) as caught:
        video_of(event, may_recreate=may_recreate)
    assert str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["failed", "VideoFailedError"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "status", "error", "message", "next_step", "error_code"]), inner)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"version": st.just(1), "outcome": st.sampled_from(["ready", "failed", "refused", "timed_out"]) | JSON},
        optional={"video": JSON, "error": JSON, "video_id": JSON},
    )
)
def test_any_event_gives_a_video_or_a_typed_error(event: dict[str, Any]) -> None:
    taken = outcome(lambda: video_of(event, may_recreate=True))
    assert isinstance(taken.id if isinstance(taken, Video) else taken["message"], str)


def test_keys_that_a_newer_version_of_us_adds_are_passed_over() -> None:
    event = BASE_EVENT | {"video": DONE.as_dict() | {"colour": "red"}, "more": 1}
    assert video_of(event, may_recreate=True) == DONE


# -------------------------------------------------------------------------------------------- the log

QUIET = replace(WAIT, last=RUNNING)
ODD = replace(WAIT, last=STRANGE)


@pytest.mark.parametrize(
    ("wait", "seen", "expected"),
    [
        (WAIT, QUEUED, (logging.INFO, "Video v is queued (progress unknown)")),
        (QUIET, RUNNING, None),
        (
            QUIET,
            Video("v", "in_progress", progress=41.0),
            (logging.INFO, "Video v is in_progress (41%, about 1439 s to go)"),
        ),
        (QUIET, DONE, (logging.INFO, "Video v is completed (progress unknown)")),
        (QUIET, FAILED, (logging.INFO, "Video v is failed (progress unknown)")),
        (
            QUIET,
            STRANGE,
            (logging.WARNING, "Video v is uploading (100%): a status word that is not known; waiting on"),
        ),
        (ODD, STRANGE, None),
        (ODD, Video("v", "uploading", progress=7.0), (logging.INFO, "Video v is uploading (7%, about 13286 s to go)")),
        (
            WAIT,
            Video("v"),
            (logging.WARNING, "Video v is None (progress unknown): a status word that is not known; waiting on"),
        ),
    ],
    ids=[
        "first",
        "the same",
        "progress",
        "done",
        "failed",
        "a word not known",
        "the same, not known",
        "progress, not known",
        "no word",
    ],
)
def test_only_a_change_is_news(wait: Wait, seen: Video | errors.WisdomGateError, expected: Any) -> None:
    assert log_line(wait, seen, NOW) == expected


def test_a_whole_wait_logs_once_per_change() -> None:
    seen = [QUEUED, QUEUED, RUNNING, RUNNING, RUNNING, STRANGE, STRANGE, DONE]
    wait, lines = WAIT, []
    for number, look in enumerate(seen):
        lines.append(log_line(wait, look, NOW + number))
        step = after_poll(wait, look, NOW + number, MIDDLE)
        wait = step.wait if isinstance(step, PollAgain) else wait
    assert [number for number, line in enumerate(lines) if line] == [0, 2, 5, 7]


def test_the_log_never_shows_the_prompt() -> None:
    for word in ("queued", "uploading", "completed", "failed"):
        assert "secret" not in str(log_line(WAIT, Video("v", word, prompt="a secret cat"), NOW))


def test_every_miss_is_a_warning_with_its_reason() -> None:
    for error in (FAULT, BROKEN, MISSING, SLOW_DOWN):
        level, line = log_line(QUIET, error, NOW) or (0, "")
        assert (level, line.endswith(str(error))) == (logging.WARNING, True)


def test_a_miss_that_ends_the_wait_is_not_announced_as_going_on() -> None:
    assert "goes on" not in str(log_line(WAIT, BAD_KEY, NOW))
