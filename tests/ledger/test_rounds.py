"""One round pays once: its record wins over everything that changed between two tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_cases import (
    ANOTHER_REQUEST,
    ANOTHER_RUN,
    CREATED,
    CREATING,
    IF_EXISTS,
    LIVES,
    LOST,
    ME,
    ME_CLEARED,
    OLD,
    OTHER,
    REQUEST,
    RUN,
    SAME,
    SIBLING,
    SIZE,
    STORED,
    TAKEN,
    YOUNG,
    decided,
    failed,
    found,
    terms,
)

from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import (
    Await,
    Claim,
    Done,
    Follow,
    IfExists,
    MakeRequest,
    Step,
    Wanted,
    is_same_instance,
    is_same_round,
    is_sibling,
)

ENDED = found("creating", claim_seconds=0.0)

# what this round recorded, bytes of the clip -> what its next try does, whatever the request is now
OWN: dict[str, tuple[Manifest, int | None, float, Step | str]] = {
    "created": (CREATED, None, YOUNG, Follow(CREATED, "video_1")),
    "created over an older clip": (CREATED, SIZE, YOUNG, Follow(CREATED, "video_1")),
    "stored": (STORED, SIZE, YOUNG, Done(STORED)),
    "stored, the clip removed": (STORED, None, YOUNG, Follow(STORED, "video_1")),
    "stored, a clip of another size": (STORED, SIZE - 1, YOUNG, TAKEN),
    "creating": (CREATING, None, YOUNG, Await(CREATING, LIVES - YOUNG)),
    "creating, over": (CREATING, None, OLD, LOST),
    "lost": (ENDED, None, YOUNG, LOST),
}
CHANGED: dict[str, Wanted | None] = {
    "no request yet": None,
    "the same request": SAME,
    "another request": ANOTHER_REQUEST,
    "another prompt": Wanted(REQUEST | {"prompt_sha256": "now()"}),
    "another spelling of the connection": Wanted(REQUEST | {"base_url": "https://G:443/v1/"}),
    "another reference image": Wanted(REQUEST | {"input_reference_sha256": "ab"}),
}


@pytest.mark.parametrize(("record", "clip_size", "age", "expected"), OWN.values(), ids=OWN.keys())
@pytest.mark.parametrize("wanted", CHANGED.values(), ids=CHANGED.keys())
@pytest.mark.parametrize("if_exists", IF_EXISTS)
def test_a_round_continues_with_its_record_whatever_changed(
    record: Manifest, clip_size: int | None, age: float, expected: Step | str, wanted: Wanted | None, if_exists: Any
) -> None:
    assert decided(record, clip_size, terms(ME, if_exists), wanted, age) == expected


def test_a_round_may_send_its_lost_create_again_without_a_request_yet() -> None:
    assert decided(ENDED, None, terms(ME, on_lost_create="create"), None) == Claim(ENDED)


@pytest.mark.parametrize("by", [ME_CLEARED, ANOTHER_RUN, {}], ids=["cleared", "another run", "no task"])
@pytest.mark.parametrize("record", [None, CREATED, STORED, CREATING, failed("ModerationError")])
def test_what_another_round_does_depends_on_its_request(record: Manifest | None, by: dict[str, Any]) -> None:
    assert decided(record, SIZE, terms(by), None) == MakeRequest()


# ---- which records are of one round


def without(by: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in by.items() if name not in names}


OF_0_2 = without(ME, "max_tries")
ROUNDS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "the same": (ME, ME, True),
    "retries changed between two tries": (ME, ME | {"round": -3}, True),
    "cleared": (ME, ME_CLEARED, False),
    "cleared, and retries changed so that the old formula agrees": (ME, ME_CLEARED | {"round": 0}, False),
    "another run": (ME, ANOTHER_RUN, False),
    "another task": (ME, ME | {"task_id": "u"}, False),
    "another DAG": (ME, ME | {"dag_id": "e"}, False),
    "another map index": (ME, SIBLING, False),
    "a run that was deleted and created again": (ME, ME | {"run_started": "2026-02-02T00:00:00+00:00"}, False),
    "an earlier version's, this round": (OF_0_2, ME, True),
    "an earlier version's, both": (OF_0_2, OF_0_2, True),
    "an earlier version's, cleared": (OF_0_2, ME_CLEARED, False),
    "an earlier version's, without a round": (without(OF_0_2, "round"), ME, False),
    "max_tries is not known": (ME | {"max_tries": None, "round": None}, ME | {"max_tries": None, "round": None}, False),
    "max_tries is known to one of them": (ME | {"max_tries": None}, ME, True),
    "no task": ({}, {}, False),
    "no task, and a round": ({"max_tries": 1}, {"max_tries": 1}, False),
}


@pytest.mark.parametrize(("one", "other", "expected"), ROUNDS.values(), ids=ROUNDS.keys())
def test_which_records_are_of_one_round(one: dict[str, Any], other: dict[str, Any], expected: bool) -> None:
    assert (is_same_round(one, other), is_same_round(other, one)) == (expected, expected)


BY = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("dag_id", "run_id", "task_id", "run_started"), st.sampled_from(["a", "b", None])),
        **dict.fromkeys(("map_index", "max_tries", "round"), st.sampled_from([-1, 0, 1, None])),
    },
)


@settings(deadline=None)
@given(BY, BY)
def test_a_round_is_of_one_instance_and_a_sibling_is_of_another(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert is_same_round(one, other) == is_same_round(other, one)
    assert is_same_round(one, other) <= is_same_instance(one, other)
    assert is_sibling(one, other) == is_sibling(other, one)
    assert not (is_same_instance(one, other) and is_sibling(one, other))


# ---- siblings


SIBLINGS: dict[str, dict[str, Any]] = {
    "in its first round": SIBLING,
    "cleared": SIBLING | {"max_tries": 5, "round": 3},
    "of an earlier version": without(SIBLING, "max_tries"),
}


@pytest.mark.parametrize("by", SIBLINGS.values(), ids=SIBLINGS.keys())
@pytest.mark.parametrize("wanted", [None, SAME, ANOTHER_REQUEST], ids=["no request", "same", "another"])
@pytest.mark.parametrize(
    ("record", "clip_size"),
    [(CREATED, None), (STORED, SIZE), (STORED, None), (CREATING, None), (ENDED, None)],
    ids=["created", "stored", "missing", "creating", "lost"],
)
def test_map_indexes_of_one_run_never_replace_each_other(
    record: Manifest, clip_size: int | None, wanted: Wanted | None, by: dict[str, Any]
) -> None:
    assert decided(record, clip_size, terms(by, "replace"), wanted) == TAKEN


def test_a_sibling_s_failure_leaves_the_place_free() -> None:
    record = failed("VideoFailedError")
    assert decided(record, None, terms(SIBLING, "replace"), ANOTHER_REQUEST) == Claim(record)


def test_a_sibling_with_the_same_request_shares_the_clip_unless_it_replaces() -> None:
    assert decided(CREATED, None, terms(SIBLING), SAME) == Follow(CREATED, "video_1")
    assert decided(STORED, SIZE, terms(SIBLING), SAME) == Done(STORED)


def test_the_same_map_index_of_another_run_is_no_sibling() -> None:
    by = SIBLING | {"run_id": "r2"}
    assert decided(STORED, SIZE, terms(by, "replace"), ANOTHER_REQUEST) == Claim(STORED)


# ---- a record of this round that another task replaced


def over(*records: Manifest) -> Manifest:
    """Return the first record over the second, and so on."""
    *upper, record = records
    for each in reversed(upper):
        record = each.over(record)
    return record


THEIRS = replace(CREATED, claim_id="theirs", video_id="video_2", made_by=ANOTHER_RUN, request=OTHER, fingerprint="o")
DISPLACED: dict[str, Manifest] = {
    "created": over(THEIRS, CREATED),
    "stored": over(THEIRS, STORED),
    "lost": over(THEIRS, ENDED),
    "two deep": over(THEIRS, replace(THEIRS, claim_id="x", made_by=ANOTHER_RUN | {"run_id": "r3"}), CREATED),
    "by its own later round": over(replace(THEIRS, made_by=ME_CLEARED), CREATED),
}


@pytest.mark.parametrize("record", DISPLACED.values(), ids=DISPLACED.keys())
@pytest.mark.parametrize("if_exists", IF_EXISTS)
def test_a_round_whose_record_was_replaced_by_another_request_s_stops(record: Manifest, if_exists: IfExists) -> None:
    assert decided(record, None, terms(ME, if_exists, "create"), None) == MakeRequest()
    assert decided(record, None, terms(ME, if_exists, "create"), SAME) == TAKEN


@pytest.mark.parametrize("if_exists", IF_EXISTS)
def test_a_round_whose_record_was_replaced_by_the_same_request_s_shares_that_video(if_exists: IfExists) -> None:
    record = over(replace(CREATED, claim_id="theirs", video_id="video_2", made_by=ANOTHER_RUN), CREATED)
    assert decided(record, None, terms(ME, if_exists), SAME) == Follow(record, "video_2")


@pytest.mark.parametrize("record", [CREATED, STORED], ids=["created", "stored"])
def test_a_round_that_has_paid_does_not_send_the_lost_create_of_another_task_again(record: Manifest) -> None:
    lost = over(replace(ENDED, claim_id="theirs", made_by=ANOTHER_RUN), record)
    assert decided(lost, None, terms(ME, "replace", "create"), SAME) == LOST


def test_a_replaced_failure_of_this_round_is_nothing_to_return_to() -> None:
    record = over(THEIRS, failed("VideoFailedError"))
    assert decided(record, None, terms(ME, "replace"), SAME) == Claim(record)


def test_a_round_that_sent_its_lost_create_again_continues_with_the_new_video() -> None:
    record = over(CREATED, ENDED)
    assert decided(record, None, terms(ME, on_lost_create="create"), ANOTHER_REQUEST) == Follow(record, "video_1")


# ---- a refusal: automatic retries never repeat it


REFUSALS = ("BadRequestError", "ModelNotFoundError", "VideoFailedForGoodError", "ModerationError")
REFUSALS += ("OutputModerationError",)
AGAIN: dict[str, tuple[dict[str, Any], bool]] = {
    "a retry": (ME, False),
    "a retry with other retries": (ME | {"round": 7}, False),
    "a clear": (ME_CLEARED, True),
    "another run": (ANOTHER_RUN, True),
    "a run without a task": ({}, True),
}


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize(("by", "sends"), AGAIN.values(), ids=AGAIN.keys())
@pytest.mark.parametrize("if_exists", IF_EXISTS)
def test_bad_input_is_sent_again_after_a_clear_and_moderation_after_a_person_forgot_it(
    kind: str, by: dict[str, Any], sends: bool, if_exists: IfExists
) -> None:
    for record in (failed(kind), failed(kind, video_id=None)):
        sends_now = sends and kind != "ModerationError"
        assert decided(record, None, terms(by, if_exists), SAME) == (Claim(record) if sends_now else kind)


@settings(deadline=None)
@given(
    st.sampled_from([CREATED, STORED, CREATING, ENDED]),
    st.sampled_from([None, SIZE]),
    st.dictionaries(st.sampled_from(sorted(REQUEST)), st.text(max_size=3), max_size=3),
    st.sampled_from(IF_EXISTS),
    st.integers(-5, 5),
    st.floats(0, 1e6),
)
def test_no_change_makes_a_round_pay_twice(
    record: Manifest, clip_size: int | None, change: dict[str, Any], if_exists: IfExists, round_: int, age: float
) -> None:
    step = decided(record, clip_size, terms(RUN | {"max_tries": 2, "round": round_}, if_exists), Wanted(change), age)
    assert not isinstance(step, Claim | MakeRequest)
