"""The event of a wait, on both sides of the database."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waits import (
    BAD_KEY,
    BLOCKED,
    DONE,
    FAILED,
    FAULT,
    GONE,
    LATE,
    MIDDLE,
    NOW,
    RUNNING,
    WAIT,
    outcome,
)

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import (
    EVENT_VERSION,
    Ended,
    Wait,
    after_poll,
    event_of,
    result_of,
    video_of,
)

BASE_EVENT = {"version": EVENT_VERSION, "video_id": "v", "outcome": "ready", "video": DONE.as_dict(), "error": None}


def test_an_event_is_plain_json_and_all_there_is() -> None:
    claim = {"destination": "file:///cat.mp4", "claim_id": "c"}
    event = event_of("v", Ended("refused", RUNNING, FAULT), claim)
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert event == {
        "version": 1,
        "video_id": "v",
        "claim": claim,
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
    "expired": (GONE, WAIT),
    "timed out": (RUNNING, LATE),
    "timed out, never seen": (FAULT, LATE),
    "refused": (BAD_KEY, replace(WAIT, unauthorized=1)),
}


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
