"""The ledger: what a try finds at its destination, and what it does then. Design section 3, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_cases import (
    ANOTHER,
    CREATED,
    CREATING,
    DOWNLOAD,
    ELSEWHERE,
    IF_EXISTS,
    LIVES,
    LOST,
    LUCKLESS,
    ME_CLEARED,
    OLD,
    OTHER,
    SIZE,
    SOMEBODY,
    STORED,
    TAKEN,
    YOUNG,
    decided,
    failed,
    found,
    wanted,
)

from airflow_provider_wisdomgate.clips.ledger import (
    OLD_CLAIM_SECONDS,
    Await,
    Claim,
    Done,
    Follow,
    IfExists,
    Step,
    Wanted,
)
from airflow_provider_wisdomgate.clips.manifest import Manifest

# what stands there, bytes of the clip, who wants what, -> what to do for skip, replace, fail
EXISTS: dict[str, tuple[Manifest | None, int | None, Wanted, Step | str, Step | str, Step | str]] = {
    "nothing": (None, None, wanted(), Claim(), Claim(), Claim()),
    "a clip without a manifest": (None, SIZE, wanted(), TAKEN, Claim(), TAKEN),
    "an empty file without a manifest": (None, 0, wanted(), TAKEN, Claim(), TAKEN),
    # the same request, stored
    "stored by this very try": (STORED, SIZE, wanted(), Done(STORED), Done(STORED), Done(STORED)),
    "stored before a clear": (STORED, SIZE, wanted(made_by=ME_CLEARED), Done(STORED), Claim(STORED), TAKEN),
    "stored by somebody": (STORED, SIZE, wanted(made_by=SOMEBODY), Done(STORED), Claim(STORED), TAKEN),
    "stored by nobody knows whom": (
        replace(STORED, made_by={}),
        SIZE,
        wanted(made_by={}),
        Done(replace(STORED, made_by={})),
        Claim(replace(STORED, made_by={})),
        TAKEN,
    ),
    "stored, and the clip removed": (
        STORED,
        None,
        wanted(),
        Follow(STORED, "video_1"),
        Claim(STORED),
        Follow(STORED, "video_1"),
    ),
    "stored, and the clip of another size": (STORED, SIZE + 1, wanted(), TAKEN, Claim(STORED), TAKEN),
    "stored, and the clip emptied": (STORED, 0, wanted(), TAKEN, Claim(STORED), TAKEN),
    # the same request, created
    "created by an earlier try": (CREATED, None, wanted(), *[Follow(CREATED, "video_1")] * 3),
    "created by somebody": (CREATED, None, wanted(made_by=SOMEBODY), *[Follow(CREATED, "video_1")] * 3),
    "created long ago": (
        found("created", claimed_at=0.0),
        None,
        wanted(),
        *[Follow(found("created", claimed_at=0.0), "video_1")] * 3,
    ),
    "created, an older clip still there": (CREATED, SIZE, wanted(), *[Follow(CREATED, "video_1")] * 3),
    # the same request, being created: an earlier try of this very task need not be dead, either
    "creating, somebody, now": (CREATING, None, wanted(made_by=SOMEBODY), *[Await(CREATING, LIVES - YOUNG)] * 3),
    "creating, an earlier try, now": (CREATING, None, wanted(), *[Await(CREATING, LIVES - YOUNG)] * 3),
    "creating, before a clear, now": (
        CREATING,
        None,
        wanted(made_by=ME_CLEARED),
        *[Await(CREATING, LIVES - YOUNG)] * 3,
    ),
    "creating, and its owner has said that it sends no more": (
        found("creating", claim_seconds=0.0),
        None,
        wanted(),
        *[LOST] * 3,
    ),
    "creating, by version 0.1.0": (
        found("creating", claim_seconds=None),
        None,
        wanted(),
        *[Await(found("creating", claim_seconds=None), OLD_CLAIM_SECONDS - YOUNG)] * 3,
    ),
    # the same request, failed
    "failed": (LUCKLESS, None, wanted(), *[Claim(LUCKLESS)] * 3),
    "failed without a reason": (found("failed"), None, wanted(), *[Claim(found("failed"))] * 3),
    "refused by moderation": (failed("ModerationError"), None, wanted(), *["ModerationError"] * 3),
    "a bad request": (failed("BadRequestError"), None, wanted(), *["BadRequestError"] * 3),
    "failed beside a file of somebody's": (LUCKLESS, SIZE, wanted(), TAKEN, Claim(LUCKLESS), TAKEN),
    "failed for good": (failed("VideoFailedForGoodError"), None, wanted(), *["VideoFailedForGoodError"] * 3),
    "expired": (failed("VideoExpiredError"), None, wanted(), *[Claim(failed("VideoExpiredError"))] * 3),
    # another request
    "another's stored clip": (STORED, SIZE, wanted(OTHER), TAKEN, Claim(STORED), TAKEN),
    "another's video on its way": (CREATED, None, wanted(OTHER), TAKEN, Claim(CREATED), TAKEN),
    "another's create, now": (CREATING, None, wanted(OTHER), TAKEN, TAKEN, TAKEN),
    "another's create that is lost": (
        found("creating", claim_seconds=0.0),
        None,
        wanted(OTHER),
        TAKEN,
        Claim(found("creating", claim_seconds=0.0)),
        TAKEN,
    ),
    "another's failure": (LUCKLESS, None, wanted(OTHER), *[Claim(LUCKLESS)] * 3),
    "another's moderation": (
        failed("ModerationError"),
        None,
        wanted(OTHER),
        *[Claim(failed("ModerationError"))] * 3,
    ),
    "another's failure beside a clip": (LUCKLESS, SIZE, wanted(OTHER), TAKEN, Claim(LUCKLESS), TAKEN),
}


@pytest.mark.parametrize(("manifest", "clip_size", "want", *IF_EXISTS), EXISTS.values(), ids=EXISTS.keys())
def test_what_a_try_does_with_what_it_finds(
    manifest: Manifest | None,
    clip_size: int | None,
    want: Wanted,
    skip: Step | str,
    replace: Step | str,
    fail: Step | str,
) -> None:
    found_now = {if_exists: decided(manifest, clip_size, want, if_exists) for if_exists in IF_EXISTS}
    assert found_now == {"skip": skip, "replace": replace, "fail": fail}


LOST_CREATES: dict[str, tuple[float, Wanted, Step | str]] = {
    "an earlier try": (OLD, wanted(), Claim(CREATING)),
    "before a clear": (OLD, wanted(made_by=ME_CLEARED), Claim(CREATING)),
    "somebody": (OLD, wanted(made_by=SOMEBODY), Claim(CREATING)),
    "an earlier try, now": (YOUNG, wanted(), Await(CREATING, LIVES - YOUNG)),
    "somebody, now": (YOUNG, wanted(made_by=SOMEBODY), Await(CREATING, LIVES - YOUNG)),
    "another request, now": (YOUNG, wanted(OTHER), TAKEN),
    "another request": (OLD, wanted(OTHER), TAKEN),
}


@pytest.mark.parametrize(("age", "want", "expected"), LOST_CREATES.values(), ids=LOST_CREATES.keys())
def test_a_lost_create_is_made_anew_only_where_somebody_says_so(age: float, want: Wanted, expected: Step | str) -> None:
    assert decided(CREATING, None, want, on_lost_create="create", age=age) == expected


@pytest.mark.parametrize("name", EXISTS)
@pytest.mark.parametrize("if_exists", IF_EXISTS)
def test_on_lost_create_changes_nothing_but_a_lost_create(name: str, if_exists: IfExists) -> None:
    manifest, clip_size, want, *_ = EXISTS[name]
    careful = decided(manifest, clip_size, want, if_exists, "fail")
    if careful != LOST:
        assert decided(manifest, clip_size, want, if_exists, "create") == careful


@pytest.mark.parametrize("lives", [LIVES, 10.0, None])
@pytest.mark.parametrize("since", [-1.0, -0.001, 0.0, 1.0])
def test_a_claim_lives_for_as_long_as_it_says(lives: float | None, since: float) -> None:
    manifest, age = found("creating", claim_seconds=lives), (lives or OLD_CLAIM_SECONDS) + since
    step = decided(manifest, None, wanted(made_by=SOMEBODY), age=age)
    assert step == (LOST if since >= 0 else Await(manifest, pytest.approx(-since)))


# --------------------------------------------------------------------------- an existing video's content


@pytest.mark.parametrize(
    ("manifest", "clip_size", "want", "expected"),
    [
        (None, None, DOWNLOAD, Claim()),
        (STORED, SIZE, DOWNLOAD, Done(STORED)),
        (STORED, None, DOWNLOAD, Follow(STORED, "video_1")),
        (CREATED, None, DOWNLOAD, Follow(CREATED, "video_1")),
        (STORED, SIZE, ANOTHER, TAKEN),
        (CREATED, None, ANOTHER, TAKEN),
        (CREATING, None, ANOTHER, TAKEN),
        (LUCKLESS, None, ANOTHER, Claim(LUCKLESS)),
        (STORED, SIZE, ELSEWHERE, TAKEN),
        (CREATED, None, ELSEWHERE, TAKEN),
    ],
    ids=[
        "nothing",
        "stored",
        "removed",
        "on its way",
        "another",
        "another's way",
        "creating",
        "another failed",
        "another gateway's",
        "another gateway's way",
    ],
)
def test_a_download_goes_by_the_video_id_and_its_gateway(
    manifest: Manifest | None, clip_size: int | None, want: Wanted, expected: Step | str
) -> None:
    assert decided(manifest, clip_size, want) == expected
