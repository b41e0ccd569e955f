"""The word for a clip that people are told, as a table; it agrees with what a try would do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.ledger import OLD_CLAIM_SECONDS
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.states import MEANINGS, NEEDS_PERSON, STATES, state_of

CREATING = Manifest("creating", "claim", "file:///cat.mp4", 1.0, claim_seconds=370.0)
CREATED = replace(CREATING, phase="created", video_id="v1", claim_seconds=None)
ANNOUNCED = replace(CREATED, size=5, sha256="ab", stored_at=2.0)
STORED = replace(ANNOUNCED, phase="stored")
BLOCKED = errors.ModerationError("not this")


def failed(error: errors.WisdomGateError) -> Manifest:
    return replace(CREATED, phase="failed", error=error.as_dict())


TABLE = {
    "a claim that is young": (CREATING, 369.0, None, "creating"),
    "a claim whose time is over": (CREATING, 370.0, None, "lost"),
    "a create that ended without an answer": (replace(CREATING, claim_seconds=0.0), 0.0, None, "lost"),
    "a claim for ever, in its first day": (replace(CREATING, claim_seconds=1e14), 86399.0, None, "creating"),
    "a claim for ever": (replace(CREATING, claim_seconds=1e14), 86400.0, None, "lost"),
    "an old version's claim": (replace(CREATING, claim_seconds=None), OLD_CLAIM_SECONDS - 1, None, "creating"),
    "an old version's claim, over": (replace(CREATING, claim_seconds=None), OLD_CLAIM_SECONDS, None, "lost"),
    "a lost create over a clip": (CREATING, 370.0, 5, "lost"),
    "a claim with an id": (replace(CREATING, video_id="v1"), 999.0, None, "created"),
    "an id": (CREATED, 999.0, None, "created"),
    "an id that somebody removed": (replace(CREATED, video_id=None), 0.0, None, "lost"),
    "a clip about to appear": (ANNOUNCED, 0.0, None, "created"),
    "a clip that has appeared and is not recorded": (ANNOUNCED, 0.0, 5, "created"),
    "a clip": (STORED, 0.0, 5, "stored"),
    "a clip that is gone": (STORED, 0.0, None, "missing"),
    "a clip of another size": (STORED, 0.0, 6, "missing"),
    "a clip of no size": (replace(STORED, size=None), 0.0, None, "missing"),
    "no luck": (failed(errors.VideoFailedError("no luck")), 0.0, None, "failed"),
    "no luck over a clip": (failed(errors.VideoExpiredError("too late")), 0.0, 5, "failed"),
    "moderation": (failed(BLOCKED), 0.0, None, "refused"),
    "bad input": (failed(errors.BadRequestError("no such size")), 0.0, None, "refused"),
    "for good": (failed(errors.VideoFailedForGoodError("no")), 0.0, None, "refused"),
    "an error of no known name": (replace(CREATED, phase="failed", error={"error": 5}), 0.0, None, "failed"),
    "no error": (replace(CREATED, phase="failed"), 0.0, None, "failed"),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_manifest_has_one_word(case: str) -> None:
    manifest, age, clip_size, word = TABLE[case]
    assert state_of(manifest, age, clip_size) == word


def test_each_word_is_in_the_table_and_has_a_meaning() -> None:
    assert {word for *_, word in TABLE.values()} == set(STATES) == set(MEANINGS)
    assert set(STATES) >= NEEDS_PERSON
