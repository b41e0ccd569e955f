"""How a manifest changes while a task goes on with it: what one learnt a while ago never undoes what another did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips import transitions
from airflow_provider_wisdomgate.clips.ledger import Wanted, found_again
from airflow_provider_wisdomgate.clips.manifest import MAX_REPLACED, Manifest, is_unfinished
from airflow_provider_wisdomgate.gateway.video import Video

NOW = 1_000_000.0
FACTS = {"size": 5, "sha256": "ab", "content_type": "video/mp4", "duration": 1.0, "width": 2, "height": 3}

CREATING = Manifest("creating", "mine", "file:///cat.mp4", NOW, fingerprint="f", claim_seconds=370.0)
CREATED = replace(CREATING, phase="created", video_id="v1", claim_seconds=None)
ANNOUNCED = replace(CREATED, stored_at=NOW, **FACTS)
STORED = replace(ANNOUNCED, phase="stored")
FAILED = replace(CREATED, phase="failed", error=errors.VideoFailedError("no luck").as_dict())
OLD = replace(STORED, claim_id="old", video_id="v0", fingerprint="other", sha256="cd", size=9)
OURS = {"creating": CREATING, "created": CREATED, "announced": ANNOUNCED, "stored": STORED, "failed": FAILED}
THEIRS = {name: replace(record, claim_id="theirs", video_id=record.video_id and "v2") for name, record in OURS.items()}
VIDEO = Video("v1", "queued", request_id="q")
NO_LUCK = errors.VideoFailedError("no luck")

Change = Callable[[Manifest | None], Manifest | None]

CHANGES: dict[str, Change] = {
    "renewed": lambda found: transitions.renewed(found, CREATING, NOW + 60),
    "returned": lambda found: transitions.returned(found, CREATING),
    "ended": lambda found: transitions.ended(found, CREATING, NOW),
    "created": lambda found: transitions.created(found, CREATING, VIDEO, NOW),
    "failed": lambda found: transitions.failed(found, CREATED, NO_LUCK),
    "unannounced": lambda found: transitions.unannounced(found, CREATED),
    "announced": lambda found: transitions.announced(found, CREATED, FACTS, NOW),
    "appeared": lambda found: transitions.appeared(found, ANNOUNCED, "ab", NOW),
}


def changed(change: str, found: Manifest | None) -> Any:
    """Return what a change makes of a record: "same", or the name of the error."""
    try:
        new = CHANGES[change](found)
    except errors.WisdomGateError as error:
        return type(error).__name__
    return "same" if new is found and found is not None else new


TAKEN, REFUSED = "DestinationTakenError", "WisdomGateError"
RECORDED = replace(CREATED, created_at=NOW, request_ids=("q",))

# what stands there -> what stands there after each change
TABLE: dict[str, dict[str, Any]] = {
    "creating": {
        "renewed": replace(CREATING, claimed_at=NOW + 60),
        "returned": None,
        "ended": replace(CREATING, claim_seconds=0.0, lost_at=NOW),
        "created": RECORDED,
        "failed": "same",
        "unannounced": "same",
        "announced": ANNOUNCED,
        "appeared": "same",
    },
    "created": {
        "renewed": REFUSED,
        "returned": "same",  # another try has given the claim a video
        "ended": "same",
        "created": "same",
        "failed": FAILED,
        "unannounced": CREATED,
        "announced": ANNOUNCED,
        "appeared": "same",
    },
    "announced": {
        "renewed": REFUSED,
        "returned": "same",
        "ended": "same",
        "created": "same",
        "failed": "same",
        "unannounced": replace(ANNOUNCED, sha256=None, size=None, stored_at=None),
        "announced": ANNOUNCED,
        "appeared": STORED,
    },
    "stored": {
        "renewed": REFUSED,
        "returned": "same",
        "ended": "same",
        "created": "same",
        "failed": "same",
        "unannounced": "same",
        "announced": "same",
        "appeared": STORED,
    },
    "failed": {
        "renewed": REFUSED,
        "returned": "same",
        "ended": "same",
        "created": "same",
        "failed": "same",
        "unannounced": "same",
        "announced": ANNOUNCED,  # it is all here: that it failed was not so
        "appeared": "same",
    },
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("phase", TABLE)
def test_what_a_change_makes_of_ones_own_record(phase: str, change: str) -> None:
    assert changed(change, OURS[phase]) == TABLE[phase][change]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("phase", THEIRS)
def test_no_change_touches_the_record_of_another_claim(phase: str, change: str) -> None:
    new = changed(change, THEIRS[phase])
    if (phase, change) == ("failed", "created"):
        assert new == RECORDED  # nothing came of theirs, and ours is paid for
    else:
        assert new == {"renewed": REFUSED, "created": TAKEN, "announced": TAKEN}.get(change, "same")


DELETED = {"renewed": REFUSED, "created": RECORDED, "announced": ANNOUNCED}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_that_somebody_deleted_comes_back_only_for_what_was_paid(change: str) -> None:
    assert changed(change, None) == DELETED.get(change)


def test_a_paid_id_that_finds_no_room_is_on_the_error() -> None:
    with pytest.raises(errors.DestinationTakenError) as caught:
        transitions.created(THEIRS["created"], CREATING, VIDEO, NOW)
    assert caught.value.video_id == "v1"


LOST = replace(CREATING, claim_id="lost", claim_seconds=0.0)


@pytest.mark.parametrize(
    ("below", "back"),
    [
        ((), FAILED),
        ((OLD,), OLD),
        ((replace(CREATED, claim_id="old"),), replace(CREATED, claim_id="old")),
        ((replace(FAILED, claim_id="old"),), FAILED),
        ((LOST,), FAILED),
        ((OLD, LOST), OLD),
    ],
    ids=["nothing", "stored", "created", "failed", "lost", "stored below lost"],
)
def test_a_replacement_that_fails_gives_a_paid_record_back(below: tuple[Manifest, ...], back: Manifest) -> None:
    under: Manifest | None = None
    for record in below:
        under = record.over(under) if under else record
    got = transitions.failed(CREATED.over(under), CREATED, NO_LUCK)
    assert got is not None
    assert replace(got, replaced=None) == replace(back, replaced=None)


@pytest.mark.parametrize("record", [OLD, FAILED, LOST, CREATED], ids=["stored", "failed", "lost", "created"])
def test_a_claim_that_nothing_came_of_gives_back_exactly_what_it_replaced(record: Manifest) -> None:
    assert transitions.returned(CREATING.over(record), CREATING) == record


def test_a_stored_clip_forgets_what_it_replaced() -> None:
    assert transitions.appeared(ANNOUNCED.over(OLD), ANNOUNCED, "ab", NOW) == STORED


def test_another_clip_than_the_announced_one_is_not_recorded() -> None:
    assert transitions.appeared(replace(ANNOUNCED, sha256="other"), ANNOUNCED, "ab", NOW) == replace(
        ANNOUNCED, sha256="other"
    )


def test_a_download_goes_on_under_the_claim_of_a_sibling_for_the_same_video() -> None:
    sibling = replace(CREATED, claim_id="theirs")
    assert transitions.announced(sibling, CREATED, FACTS, NOW) == replace(ANNOUNCED, claim_id="theirs")


REMEMBERED = {"video_id": "v1", "claim_id": "mine", "fingerprint": "f"}


@pytest.mark.parametrize(
    ("found", "remembered", "expected"),
    [
        (CREATING, REMEMBERED, CREATED),
        (None, REMEMBERED, CREATED),
        (THEIRS["creating"], REMEMBERED, THEIRS["creating"]),
        (STORED, REMEMBERED, STORED),
        (CREATING, REMEMBERED | {"fingerprint": "other"}, CREATING),
        (None, REMEMBERED | {"fingerprint": "other"}, None),
        (CREATING, REMEMBERED | {"video_id": 5}, CREATING),
        (CREATING, {}, CREATING),
    ],
    ids=["ours", "deleted", "theirs", "stored", "other request", "other request, deleted", "no id", "nothing"],
)
def test_an_id_that_a_task_remembers_is_recorded_where_it_belongs(
    found: Manifest | None, remembered: dict[str, Any], expected: Manifest | None
) -> None:
    mine = replace(CREATING, claim_id="next try")
    got = transitions.adopted(found, mine, remembered)
    assert got == (replace(expected, claimed_at=NOW) if expected else None)


def test_records_of_records_are_kept_up_to_a_depth() -> None:
    record = OLD
    for number in range(MAX_REPLACED + 5):
        record = replace(CREATED, claim_id=str(number)).over(record)
    depth, below = 0, record.previous
    while below is not None:
        depth, below = depth + 1, below.previous
    assert depth == MAX_REPLACED


def test_a_stored_record_is_kept_below_any_number_of_lost_creates() -> None:
    record = OLD
    for number in range(MAX_REPLACED + 5):
        record = replace(CREATING, claim_id=str(number)).over(record)
    while (below := record.previous) is not None:
        record = below
    assert record == OLD


@pytest.mark.parametrize("spoiled", [{"a": 1}, {**OLD.as_dict(), "replaced": [5]}, {**OLD.as_dict(), "video_id": {}}])
def test_a_record_below_that_somebody_spoiled_is_left_out(spoiled: Any) -> None:
    found = replace(CREATED, replaced={**OLD.as_dict(), "replaced": spoiled})
    assert replace(CREATING, claim_id="next").over(found).replaced == {**CREATED.as_dict(), "replaced": OLD.as_dict()}
    assert found_again(found, Wanted({}), [], "a cat") is None


def test_a_replaced_record_that_somebody_spoiled_counts_as_none() -> None:
    assert replace(CREATED, replaced={"phase": "stored"}).previous is None


WHOLE = CREATING.dump()
OF_A_DOWNLOAD = replace(CREATED, fingerprint=None).dump()
LATER = {phase: replace(STORED, phase=phase).dump() for phase in ("created", "stored", "failed")}
TYPO = b',\n "version": ,\n}'  # saved by an editor that takes away the last line's end


@pytest.mark.parametrize("length", [*range(20), len(WHOLE) // 2, len(WHOLE) - 20])
def test_any_beginning_of_a_claim_is_unfinished(length: int) -> None:
    assert is_unfinished(WHOLE[:length])


@pytest.mark.parametrize("length", [200, len(OF_A_DOWNLOAD) - 20])
def test_a_beginning_of_a_download_s_claim_is_unfinished_for_nothing_was_paid(length: int) -> None:
    assert is_unfinished(OF_A_DOWNLOAD[:length])


@pytest.mark.parametrize("phase", LATER)
@pytest.mark.parametrize("length", [25, 300, -3, -2, -1])
def test_no_part_of_a_later_record_is_written_over(phase: str, length: int) -> None:
    assert not is_unfinished(LATER[phase][:length])


def test_a_part_of_a_claim_over_a_paid_video_is_not_written_over_once_it_names_it() -> None:
    data = replace(CREATING, claim_id="next").over(CREATED).dump()
    end = data.index(b'"v1"') + 1
    assert [is_unfinished(data[:length]) for length in (40, end, end + 20)] == [True, False, False]


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        b"{}",
        b"somebody's notes",
        b'{"phase": "stored"}',
        b"<html>",
        WHOLE.replace(b',\n "version": 1\n}\n', TYPO),
    ],
)
def test_what_is_no_beginning_of_a_claim_is_not_taken_for_one(data: bytes) -> None:
    assert not is_unfinished(data)


def test_a_file_system_that_lost_power_shows_zeros() -> None:
    assert is_unfinished(bytes(4096))
