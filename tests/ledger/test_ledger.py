"""What a try finds at its destination, and what it does then, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_cases import (
    ANOTHER,
    ANOTHER_REQUEST,
    ANOTHER_RUN,
    CREATED,
    CREATING,
    DOWNLOAD,
    ELSEWHERE,
    IF_EXISTS,
    LIVES,
    LOST,
    LUCKLESS,
    ME,
    ME_CLEARED,
    OLD,
    SAME,
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
    OLD_CLAIM_SECONDS,
    Await,
    Claim,
    Done,
    Follow,
    IfExists,
    Step,
    Wanted,
)

ENDED = found("creating", claim_seconds=0.0)
OF_0_1_0 = found("creating", claim_seconds=None)
AGES_AGO = found("created", claimed_at=0.0)
OF_NOBODY = replace(STORED, made_by={})
NO_LUCK, MODERATED = "VideoFailedForGoodError", "ModerationError"
FOLLOW, WAIT = [Follow(CREATED, "video_1")] * 3, [Await(CREATING, LIVES - YOUNG)] * 3

# what stands there, bytes of the clip, who asks, what is wanted -> what to do for skip, replace, fail
Row = tuple[Manifest | None, int | None, dict[str, Any], Wanted, Step | str, Step | str, Step | str]
EXISTS: dict[str, Row] = {
    "nothing": (None, None, ME, SAME, Claim(), Claim(), Claim()),
    "a clip without a manifest": (None, SIZE, ME, SAME, TAKEN, Claim(), TAKEN),
    "an empty file without a manifest": (None, 0, ME, SAME, TAKEN, Claim(), TAKEN),
    # the same request, stored
    "stored by this round": (STORED, SIZE, ME, SAME, Done(STORED), Done(STORED), Done(STORED)),
    "stored before a clear": (STORED, SIZE, ME_CLEARED, SAME, Done(STORED), Claim(STORED), TAKEN),
    "stored by another run": (STORED, SIZE, ANOTHER_RUN, SAME, Done(STORED), Claim(STORED), TAKEN),
    "stored by an unknown task": (OF_NOBODY, SIZE, {}, SAME, Done(OF_NOBODY), Claim(OF_NOBODY), TAKEN),
    "stored by this round, the clip removed": (STORED, None, ME, SAME, *[Follow(STORED, "video_1")] * 3),
    "stored before a clear, the clip removed": (
        *(STORED, None, ME_CLEARED, SAME),
        *(Follow(STORED, "video_1"), Claim(STORED), Follow(STORED, "video_1")),
    ),
    "stored by this round, a clip of another size": (STORED, SIZE + 1, ME, SAME, TAKEN, TAKEN, TAKEN),
    "stored by this round, the clip emptied": (STORED, 0, ME, SAME, TAKEN, TAKEN, TAKEN),
    "stored before a clear, a clip of another size": (
        *(STORED, SIZE + 1, ME_CLEARED, SAME),
        *(TAKEN, Claim(STORED), TAKEN),
    ),
    # the same request, created
    "created by an earlier try": (CREATED, None, ME, SAME, *FOLLOW),
    "created by another run": (CREATED, None, ANOTHER_RUN, SAME, *FOLLOW),
    "created long ago": (AGES_AGO, None, ME, SAME, *[Follow(AGES_AGO, "video_1")] * 3),
    "created, an older clip still there": (CREATED, SIZE, ME, SAME, *FOLLOW),
    # the same request, being created: an earlier try of this very task need not be dead, either
    "creating, another run, now": (CREATING, None, ANOTHER_RUN, SAME, *WAIT),
    "creating, an earlier try, now": (CREATING, None, ME, SAME, *WAIT),
    "creating, before a clear, now": (CREATING, None, ME_CLEARED, SAME, *WAIT),
    "creating, and its owner recorded that it sends no more": (ENDED, None, ME, SAME, *[LOST] * 3),
    "creating, by version 0.1.0": (OF_0_1_0, None, ME, SAME, *[Await(OF_0_1_0, OLD_CLAIM_SECONDS - YOUNG)] * 3),
    # the same request, failed
    "failed": (LUCKLESS, None, ME, SAME, *[Claim(LUCKLESS)] * 3),
    "failed without a reason": (found("failed"), None, ME, SAME, *[Claim(found("failed"))] * 3),
    "refused by moderation": (failed(MODERATED), None, ME, SAME, *[MODERATED] * 3),
    "refused by moderation, another run": (failed(MODERATED), None, ANOTHER_RUN, SAME, *[MODERATED] * 3),
    "refused by moderation, cleared": (failed(MODERATED), None, ME_CLEARED, SAME, *[MODERATED] * 3),
    "a bad request": (failed("BadRequestError"), None, ME, SAME, *["BadRequestError"] * 3),
    "a bad request, cleared": (
        *(failed("BadRequestError"), None, ME_CLEARED, SAME),
        *[Claim(failed("BadRequestError"))] * 3,
    ),
    "an unknown model": (failed("ModelNotFoundError"), None, ME, SAME, *["ModelNotFoundError"] * 3),
    "an unknown model, another run": (
        *(failed("ModelNotFoundError"), None, ANOTHER_RUN, SAME),
        *[Claim(failed("ModelNotFoundError"))] * 3,
    ),
    "failed for good": (failed(NO_LUCK), None, ME, SAME, *[NO_LUCK] * 3),
    "failed for good, cleared": (failed(NO_LUCK), None, ME_CLEARED, SAME, *[Claim(failed(NO_LUCK))] * 3),
    "failed beside a file of somebody's": (LUCKLESS, SIZE, ME, SAME, TAKEN, Claim(LUCKLESS), TAKEN),
    "expired": (failed("VideoExpiredError"), None, ME, SAME, *[Claim(failed("VideoExpiredError"))] * 3),
    # another request, of another run
    "another's stored clip": (STORED, SIZE, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN, Claim(STORED), TAKEN),
    "another's video on its way": (CREATED, None, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN, Claim(CREATED), TAKEN),
    "another's create, now": (CREATING, None, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN, TAKEN, TAKEN),
    "another's create that is lost": (ENDED, None, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN, Claim(ENDED), TAKEN),
    "another's failure": (LUCKLESS, None, ANOTHER_RUN, ANOTHER_REQUEST, *[Claim(LUCKLESS)] * 3),
    "another's moderation": (failed(MODERATED), None, ANOTHER_RUN, ANOTHER_REQUEST, *[Claim(failed(MODERATED))] * 3),
    "another's failure beside a clip": (LUCKLESS, SIZE, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN, Claim(LUCKLESS), TAKEN),
    # another request, of this round
    "failed in this round, the request corrected": (LUCKLESS, None, ME, ANOTHER_REQUEST, *[Claim(LUCKLESS)] * 3),
    "refused in this round, the request corrected": (
        *(failed(MODERATED), None, ME, ANOTHER_REQUEST),
        *[Claim(failed(MODERATED))] * 3,
    ),
}


@pytest.mark.parametrize(("record", "clip_size", "by", "wanted", *IF_EXISTS), EXISTS.values(), ids=EXISTS.keys())
def test_what_a_try_does_with_what_it_finds(
    record: Manifest | None,
    clip_size: int | None,
    by: dict[str, Any],
    wanted: Wanted,
    skip: Step | str,
    replace: Step | str,
    fail: Step | str,
) -> None:
    steps = {if_exists: decided(record, clip_size, terms(by, if_exists), wanted) for if_exists in IF_EXISTS}
    assert steps == {"skip": skip, "replace": replace, "fail": fail}


LOST_CREATES: dict[str, tuple[float, dict[str, Any], Wanted, Step | str]] = {
    "an earlier try": (OLD, ME, SAME, Claim(CREATING)),
    "an earlier try that asked for something else": (OLD, ME, ANOTHER_REQUEST, Claim(CREATING)),
    "before a clear": (OLD, ME_CLEARED, SAME, Claim(CREATING)),
    "another run": (OLD, ANOTHER_RUN, SAME, Claim(CREATING)),
    "an earlier try, now": (YOUNG, ME, SAME, Await(CREATING, LIVES - YOUNG)),
    "another run, now": (YOUNG, ANOTHER_RUN, SAME, Await(CREATING, LIVES - YOUNG)),
    "another request, now": (YOUNG, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN),
    "another request": (OLD, ANOTHER_RUN, ANOTHER_REQUEST, TAKEN),
}


@pytest.mark.parametrize(("age", "by", "wanted", "expected"), LOST_CREATES.values(), ids=LOST_CREATES.keys())
def test_a_lost_create_is_sent_again_only_if_the_task_asks_for_it(
    age: float, by: dict[str, Any], wanted: Wanted, expected: Step | str
) -> None:
    assert decided(CREATING, None, terms(by, on_lost_create="create"), wanted, age) == expected


@pytest.mark.parametrize("name", EXISTS)
@pytest.mark.parametrize("if_exists", IF_EXISTS)
def test_on_lost_create_changes_nothing_but_a_lost_create(name: str, if_exists: IfExists) -> None:
    record, clip_size, by, wanted, *_ = EXISTS[name]
    careful = decided(record, clip_size, terms(by, if_exists), wanted)
    if careful != LOST:
        assert decided(record, clip_size, terms(by, if_exists, "create"), wanted) == careful


@pytest.mark.parametrize("lives", [LIVES, 10.0, None])
@pytest.mark.parametrize("since", [-1.0, -0.001, 0.0, 1.0])
def test_a_claim_lives_for_as_long_as_it_records(lives: float | None, since: float) -> None:
    record, age = found("creating", claim_seconds=lives), (lives or OLD_CLAIM_SECONDS) + since
    step = decided(record, None, terms(ANOTHER_RUN), SAME, age)
    assert step == (LOST if since >= 0 else Await(record, pytest.approx(-since)))


# --------------------------------------------------------------------------- an existing video's content


DOWNLOADS: dict[str, tuple[Manifest | None, int | None, Wanted, Step | str]] = {
    "nothing": (None, None, DOWNLOAD, Claim()),
    "stored": (STORED, SIZE, DOWNLOAD, Done(STORED)),
    "removed": (STORED, None, DOWNLOAD, Follow(STORED, "video_1")),
    "on its way": (CREATED, None, DOWNLOAD, Follow(CREATED, "video_1")),
    "another": (STORED, SIZE, ANOTHER, TAKEN),
    "another's way": (CREATED, None, ANOTHER, TAKEN),
    "creating": (CREATING, None, ANOTHER, TAKEN),
    "another failed": (LUCKLESS, None, ANOTHER, Claim(LUCKLESS)),
    "another gateway's": (STORED, SIZE, ELSEWHERE, TAKEN),
    "another gateway's way": (CREATED, None, ELSEWHERE, TAKEN),
}


@pytest.mark.parametrize(("record", "clip_size", "wanted", "expected"), DOWNLOADS.values(), ids=DOWNLOADS.keys())
@pytest.mark.parametrize("by", [{}, ME, ANOTHER_RUN], ids=["the hook", "the round that wrote it", "another run"])
def test_a_download_goes_by_the_video_id_and_its_gateway(
    record: Manifest | None, clip_size: int | None, wanted: Wanted, expected: Step | str, by: dict[str, Any]
) -> None:
    assert decided(record, clip_size, terms(by), wanted) == expected
