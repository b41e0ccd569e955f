"""What the errors of the rules contain: whose record it is, where it differs from what is wanted, and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_cases import (
    ANOTHER,
    ANOTHER_REQUEST,
    ANOTHER_RUN,
    CREATED,
    ME,
    OLD,
    REQUEST,
    SAME,
    SIBLING,
    SIZE,
    STORED,
    TAKEN,
    URI,
    YOUNG,
    found,
    terms,
)

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Terms, Wanted, lost_create, next_step, record_refusal

WHOSE = "(dag_id d, run_id r1, task_id t, map_index -1)"
ANOTHER_PROMPT = f"the prompt is another one; the one there: wisdomgate clips show {URI}"
BOTH_PAY = "Give the task another destination, or if_exists='replace': both pay for a new video."
ANOTHER_TASK = terms(ANOTHER_RUN)


def refused(
    record: Manifest, wanted: Wanted = SAME, asks: Terms = ANOTHER_TASK, age: float = YOUNG
) -> errors.WisdomGateError:
    clip_size = SIZE if record.phase == "stored" else None
    with pytest.raises(errors.WisdomGateError) as caught:
        next_step(record, clip_size, asks, wanted, age=age)
    return caught.value


def test_a_lost_create_names_its_time_place_and_task() -> None:
    error = lost_create(found("creating", made_by=ME | {"map_index": 3}, answer="<html>busy</html>"))
    assert error.message == (
        f"The answer to a create for {URI}, sent at 1970-01-12 13:46:40 UTC "
        "(dag_id d, run_id r1, task_id t, map_index 3), was never recorded: the video may exist and be paid for."
    )
    assert f"wisdomgate clips adopt {URI} --video-id VIDEO_ID" in str(error)
    assert f"wisdomgate clips forget {URI}" in str(error)
    assert "The gateway answered: <html>busy</html>" in str(error)


def test_a_taken_destination_names_the_difference_but_not_the_prompts() -> None:
    assert refused(STORED, ANOTHER_REQUEST).as_dict() == {
        "error": TAKEN,
        "message": f"The destination {URI} is taken: it belongs to another request {WHOSE} (fps: None there, "
        f"'24' wanted; model: 'sora-2' there, 'veo-9' wanted; seconds: '8' there, '4' wanted; {ANOTHER_PROMPT})",
        "next_step": BOTH_PAY,
        "video_id": "video_1",
    }


def test_a_taken_destination_names_the_videos_of_a_download() -> None:
    assert refused(STORED, ANOTHER).message == (
        f"The destination {URI} is taken: it belongs to another request {WHOSE} (video video_1 of "
        "https://g/v1 there, video video_2 of https://g/v1 wanted)"
    )


def test_requests_that_differ_only_in_the_prompt_are_refused_without_it() -> None:
    assert refused(STORED, Wanted(REQUEST | {"prompt_sha256": "dog"})).message == (
        f"The destination {URI} is taken: it belongs to another request {WHOSE} ({ANOTHER_PROMPT})"
    )


def test_a_taken_destination_with_a_paid_video_names_the_free_ways_first() -> None:
    error = refused(CREATED, ANOTHER_REQUEST)
    assert error.next_step == (
        "Its video video_1 is paid for and recorded. To keep it, undo the change of the request and run the task "
        f"again, or: wisdomgate clips fetch {URI} (both cost nothing). {BOTH_PAY}"
    )


def test_if_another_requests_create_was_lost_the_error_contains_that_and_what_to_do() -> None:
    """A Base URL that was wrong at first: no clip is there, and forgetting the claim is the way on."""
    error = refused(found("creating"), Wanted(REQUEST | {"seconds": "9"}), age=OLD)
    assert "there is no clip, but the create of another request" in error.message
    assert f"wisdomgate clips forget {URI}" in str(error)


def test_a_sibling_s_record_is_refused_with_the_way_to_a_destination_of_its_own() -> None:
    error = refused(STORED, ANOTHER_REQUEST, terms(SIBLING, "replace"))
    assert "map index -1 of this task has it" in error.message
    assert "ti.map_index" in str(error.next_step)


def test_a_displaced_record_is_named_with_its_video() -> None:
    """Two tasks of one destination with ``replace``: the first one's retry stops, and does not displace in turn."""
    other = replace(CREATED, claim_id="other", video_id="video_2", made_by=ANOTHER_RUN).over(CREATED)
    error = refused(other, ANOTHER_REQUEST, terms(ME, "replace"))
    assert "this run had video video_1, which is paid for, and another task" in error.message
    assert "costs nothing" in str(error.next_step)


def test_a_refusal_in_a_record_keeps_its_facts_and_names_how_to_continue() -> None:
    error = errors.ModerationError("no", code="moderation_blocked", video_id="video_1", request_id="q")
    assert refused(found("failed", error=error.as_dict()), asks=terms()).as_dict() == {
        "error": "ModerationError",
        "message": "The gateway refused this request before, so it is not sent again: no",
        "next_step": "Change the request, then run the task again. To send the same request again, run the task after: "
        f"wisdomgate clips forget {URI}",
        "code": "moderation_blocked",
        "request_id": "q",
        "video_id": "video_1",
    }


def test_a_refusal_of_a_create_is_found_again_as_it_was_recorded() -> None:
    record = record_refusal(found("creating"), found("creating"), errors.BadRequestError("size", status=400))
    assert record is not None
    error = refused(record, asks=terms())
    assert (type(error), error.status) == (errors.BadRequestError, 400)
