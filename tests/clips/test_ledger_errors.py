"""What the ledger's errors say: whose claim or clip it found, where it differs from what is wanted, and what to do."""

from __future__ import annotations

import pytest
from ledger_cases import ANOTHER, ME, OLD, OTHER, REQUEST, SIZE, STORED, TAKEN, URI, YOUNG, found, wanted

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.ledger import lost_create, next_step

WHOSE = "(dag_id d, run_id r1, task_id t, map_index -1)"
ANOTHER_PROMPT = f"the prompt is another one; the one there: wisdomgate clips show {URI}"


def test_a_lost_create_says_when_where_and_whose() -> None:
    error = lost_create(found("creating", made_by=ME | {"map_index": 3}))
    assert error.message == (
        f"A create for {URI} was begun at 1970-01-12 13:46:40 UTC and its answer was never recorded "
        "(dag_id d, run_id r1, task_id t, map_index 3): the video may exist and be paid for."
    )
    assert f"wisdomgate clips adopt {URI} --video-id <id>" in str(error)
    assert f"wisdomgate clips forget {URI}" in str(error)


def test_a_taken_destination_names_the_difference_but_not_the_prompts() -> None:
    with pytest.raises(errors.DestinationTakenError) as caught:
        next_step(STORED, SIZE, wanted(OTHER), if_exists="skip", on_lost_create="fail", age=YOUNG)
    assert caught.value.as_dict() == {
        "error": TAKEN,
        "message": f"The destination {URI} is taken: another request's clip belongs there {WHOSE} (fps: None there, "
        f"24 wanted; model: 'sora-2' there, 'veo-9' wanted; seconds: '8' there, '4' wanted; {ANOTHER_PROMPT})",
        "next_step": "Give the task another destination, or if_exists='replace'.",
        "video_id": "video_1",
    }


def test_a_taken_destination_names_the_videos_of_a_download() -> None:
    with pytest.raises(errors.DestinationTakenError) as caught:
        next_step(STORED, SIZE, ANOTHER, if_exists="skip", on_lost_create="fail", age=YOUNG)
    assert caught.value.message == (
        f"The destination {URI} is taken: another request's clip belongs there {WHOSE} (video video_1 of "
        "https://g/v1 there, video video_2 of https://g/v1 wanted)"
    )


def test_requests_that_differ_only_in_the_prompt_say_so_without_it() -> None:
    with pytest.raises(errors.DestinationTakenError) as caught:
        next_step(STORED, SIZE, wanted(REQUEST | {"prompt": "dog"}), if_exists="skip", on_lost_create="fail", age=YOUNG)
    assert caught.value.message == (
        f"The destination {URI} is taken: another request's clip belongs there {WHOSE} ({ANOTHER_PROMPT})"
    )


def test_where_another_requests_create_was_lost_the_error_says_so_and_what_to_do() -> None:
    """A Base URL that was wrong at first: no clip is there, and forgetting the claim is the way on."""
    lost = found("creating", made_by=ME, video_id=None, claim_seconds=60.0)
    with pytest.raises(errors.DestinationTakenError, match="no clip is there, but another request's create") as caught:
        next_step(lost, None, wanted(REQUEST | {"seconds": "9"}), if_exists="skip", on_lost_create="fail", age=OLD)
    assert f"wisdomgate clips forget {URI}" in str(caught.value)


def test_a_refusal_found_in_a_manifest_keeps_its_facts_and_says_how_to_go_on() -> None:
    refused = errors.ModerationError("no", code="moderation_blocked", video_id="video_1", request_id="q")
    with pytest.raises(errors.ModerationError) as caught:
        next_step(
            found("failed", error=refused.as_dict()),
            None,
            wanted(),
            if_exists="skip",
            on_lost_create="fail",
            age=YOUNG,
        )
    assert caught.value.as_dict() == {
        "error": "ModerationError",
        "message": "This very request was refused before, so it is not sent again: no",
        "next_step": f"Change the request. To send the same one once more: wisdomgate clips forget {URI}",
        "code": "moderation_blocked",
        "request_id": "q",
        "video_id": "video_1",
    }
