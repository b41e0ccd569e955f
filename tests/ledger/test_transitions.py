"""How a record changes while a task works on it: late news never undoes what another task has done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.ledger.record import MAX_REPLACED, Manifest
from airflow_provider_wisdomgate.ledger.rules import Terms, found_again, state_of

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
    "renew_claim": lambda found: rules.renew_claim(found, CREATING, NOW + 60),
    "release_claim": lambda found: rules.release_claim(found, CREATING),
    "record_loss": lambda found: rules.record_loss(found, CREATING, NOW),
    "record_id": lambda found: rules.record_id(found, CREATING, VIDEO, NOW),
    "record_failure": lambda found: rules.record_failure(found, CREATED, NO_LUCK),
    "retract": lambda found: rules.retract(found, CREATED),
    "announce": lambda found: rules.announce(found, CREATED, FACTS, NOW),
    "record_stored": lambda found: rules.record_stored(found, ANNOUNCED, "ab", NOW),
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
        "renew_claim": replace(CREATING, claimed_at=NOW + 60),
        "release_claim": None,
        "record_loss": replace(CREATING, claim_seconds=0.0, lost_at=NOW),
        "record_id": RECORDED,
        "record_failure": "same",
        "retract": "same",
        "announce": ANNOUNCED,
        "record_stored": "same",
    },
    "created": {
        "renew_claim": REFUSED,
        "release_claim": "same",  # another try has given the claim a video
        "record_loss": "same",
        "record_id": "same",
        "record_failure": FAILED,
        "retract": CREATED,
        "announce": ANNOUNCED,
        "record_stored": "same",
    },
    "announced": {
        "renew_claim": REFUSED,
        "release_claim": "same",
        "record_loss": "same",
        "record_id": "same",
        "record_failure": "same",
        "retract": replace(ANNOUNCED, sha256=None, size=None, stored_at=None),
        "announce": ANNOUNCED,
        "record_stored": STORED,
    },
    "stored": {
        "renew_claim": REFUSED,
        "release_claim": "same",
        "record_loss": "same",
        "record_id": "same",
        "record_failure": "same",
        "retract": "same",
        "announce": "same",
        "record_stored": STORED,
    },
    "failed": {
        "renew_claim": REFUSED,
        "release_claim": "same",
        "record_loss": "same",
        "record_id": "same",
        "record_failure": "same",
        "retract": "same",
        "announce": ANNOUNCED,  # it is all here: that it failed was not so
        "record_stored": "same",
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
    if (phase, change) == ("failed", "record_id"):
        assert new == RECORDED  # nothing came of theirs, and ours is paid for
    else:
        assert new == {"renew_claim": REFUSED, "record_id": TAKEN, "announce": TAKEN}.get(change, "same")


DELETED = {"renew_claim": REFUSED, "record_id": RECORDED, "announce": ANNOUNCED}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_that_somebody_deleted_comes_back_only_for_what_was_paid(change: str) -> None:
    assert changed(change, None) == DELETED.get(change)


def test_a_paid_id_that_finds_no_room_is_on_the_error() -> None:
    with pytest.raises(errors.DestinationTakenError) as caught:
        rules.record_id(THEIRS["created"], CREATING, VIDEO, NOW)
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
    got = rules.record_failure(CREATED.over(under), CREATED, NO_LUCK)
    assert got is not None
    assert replace(got, replaced=None) == replace(back, replaced=None)


@pytest.mark.parametrize("record", [OLD, FAILED, LOST, CREATED], ids=["stored", "failed", "lost", "created"])
def test_a_claim_that_nothing_came_of_gives_back_exactly_what_it_replaced(record: Manifest) -> None:
    assert rules.release_claim(CREATING.over(record), CREATING) == record


def test_a_stored_clip_forgets_what_it_replaced() -> None:
    assert rules.record_stored(ANNOUNCED.over(OLD), ANNOUNCED, "ab", NOW) == STORED


def test_another_clip_than_the_announced_one_is_not_recorded() -> None:
    assert rules.record_stored(replace(ANNOUNCED, sha256="other"), ANNOUNCED, "ab", NOW) == replace(
        ANNOUNCED, sha256="other"
    )


def test_a_download_goes_on_under_the_claim_of_a_sibling_for_the_same_video() -> None:
    sibling = replace(CREATED, claim_id="theirs")
    assert rules.announce(sibling, CREATED, FACTS, NOW) == replace(ANNOUNCED, claim_id="theirs")


REMEMBERED = {"video_id": "v1", "claim_id": "mine", "fingerprint": "f"}


@pytest.mark.parametrize(
    ("found", "remembered", "expected"),
    [
        (CREATING, REMEMBERED, CREATED),
        (None, REMEMBERED, CREATED),
        (THEIRS["creating"], REMEMBERED, THEIRS["creating"]),
        (STORED, REMEMBERED, STORED),
        (CREATING, REMEMBERED | {"fingerprint": "other"}, CREATED),
        (None, REMEMBERED | {"fingerprint": "other"}, None),
        (CREATING, REMEMBERED | {"video_id": 5}, CREATING),
        (CREATING, {}, CREATING),
    ],
    ids=[
        "ours",
        "deleted",
        "theirs",
        "stored",
        "ours, whatever the request is",
        "other request, deleted",
        "no id",
        "nothing",
    ],
)
def test_an_id_that_a_task_remembers_is_recorded_where_it_belongs(
    found: Manifest | None, remembered: dict[str, Any], expected: Manifest | None
) -> None:
    mine = replace(CREATING, claim_id="next try")
    got = rules.recall_id(found, mine, remembered)
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
    assert found_again(found, []) is None


def test_a_replaced_record_that_somebody_spoiled_counts_as_none() -> None:
    assert replace(CREATED, replaced={"phase": "stored"}).previous is None


# ---- an id that its claim has already


def test_a_create_s_own_id_beside_another_one_that_was_adopted_is_on_the_error() -> None:
    """A person adopted an id while the owner's create was still in progress: the second id is paid for, too."""
    for found in (replace(CREATED, video_id="adopted"), replace(STORED, video_id="adopted")):
        with pytest.raises(errors.DestinationTakenError) as caught:
            rules.record_id(found, CREATING, VIDEO, NOW)
        assert caught.value.video_id == "v1"


# ---- a create that was refused


@pytest.mark.parametrize(
    "error",
    [
        errors.ModerationError("no", code="moderation_blocked"),
        errors.BadRequestError("no", status=400),
        errors.ModelNotFoundError("no"),
        errors.AuthenticationError("no", status=401),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_create_that_was_refused_leaves_a_record(error: errors.WisdomGateError) -> None:
    record = rules.record_refusal(CREATING, CREATING, error)
    assert record == replace(CREATING, phase="failed", error=error.as_dict(), claim_seconds=None)
    state = "failed" if isinstance(error, errors.AuthenticationError) else "refused"
    assert state_of(record, 0.0, None) == state


@pytest.mark.parametrize("phase", ["created", "announced", "stored", "failed"])
def test_a_refusal_changes_no_record_but_its_own_open_claim(phase: str) -> None:
    for found in (OURS[phase], THEIRS[phase], THEIRS["creating"], None):
        assert rules.record_refusal(found, CREATING, NO_LUCK) is found


@pytest.mark.parametrize("record", [OLD, CREATED], ids=["stored", "created"])
def test_a_refused_replacement_gives_the_paid_record_back(record: Manifest) -> None:
    assert rules.record_refusal(CREATING.over(record), CREATING, NO_LUCK) == record


def test_a_refusal_over_a_failure_stays_a_refusal() -> None:
    record = rules.record_refusal(CREATING.over(FAILED), CREATING, errors.ModerationError("no"))
    assert record is not None
    assert state_of(record, 0.0, None) == "refused"


def test_a_loss_keeps_what_came_in_place_of_an_answer_until_there_is_an_id() -> None:
    lost = rules.record_loss(CREATING, CREATING, NOW + 5, "<html>")
    assert lost == replace(CREATING, claim_seconds=0.0, lost_at=NOW + 5, answer="<html>")
    assert rules.record_id(lost, CREATING, VIDEO, NOW) == RECORDED


# ---- a kill


BY = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "run_started": None, "max_tries": 1}
MINE = replace(CREATED, made_by=BY)
KILLS: dict[str, tuple[Manifest | None, str, str, dict[str, Any]]] = {
    "no record": (None, "mine", "v1", BY),
    "another claim": (MINE, "theirs", "v1", BY),
    "another video": (MINE, "mine", "v2", BY),
    "another run paid": (MINE, "mine", "v1", BY | {"run_id": "r2"}),
    "another map index paid": (MINE, "mine", "v1", BY | {"map_index": 3}),
    "an earlier run of the same id paid": (MINE, "mine", "v1", BY | {"run_started": "2026"}),
    "nobody is recorded": (CREATED, "mine", "v1", {}),
    "being stored": (replace(ANNOUNCED, made_by=BY), "mine", "v1", BY),
    "stored": (replace(STORED, made_by=BY), "mine", "v1", BY),
    "failed": (replace(FAILED, made_by=BY), "mine", "v1", BY),
    "creating": (replace(CREATING, made_by=BY), "mine", "v1", BY),
}


@pytest.mark.parametrize(("found", "claim_id", "video_id", "by"), KILLS.values(), ids=KILLS.keys())
def test_a_kill_deletes_only_what_this_task_paid_for_and_has_not_stored(
    found: Manifest | None, claim_id: str, video_id: str, by: dict[str, Any]
) -> None:
    with pytest.raises(errors.WisdomGateError):
        rules.mark_killed(found, claim_id, video_id, by, NOW)


def test_a_kill_is_recorded_before_its_video_is_deleted() -> None:
    answered = replace(MINE, created_at=NOW)
    assert rules.mark_killed(answered, "mine", "v1", BY, NOW) == replace(answered, killed_at=NOW)
    assert rules.mark_killed(answered, "mine", "v1", BY | {"max_tries": 4}, NOW) == replace(answered, killed_at=NOW)


def test_a_clip_that_arrives_after_a_kill_takes_the_mark_away() -> None:
    assert rules.announce(replace(CREATED, killed_at=NOW), CREATED, FACTS, NOW) == ANNOUNCED


def test_another_id_that_a_person_adopts_is_not_marked_as_killed() -> None:
    new = rules.adopt(replace(MINE, killed_at=NOW), "created", "v9", "claim 2").new
    assert new is not None
    assert (new.video_id, new.killed_at) == ("v9", None)


# ---- a video that the gateway does not have any more


GONE = errors.VideoNotFoundError("unknown", video_id="v1")
PAYS = Terms(BY, on_gone="create")
RECREATE: dict[str, tuple[Manifest, Terms, bool]] = {
    "asked to fail": (MINE, Terms(BY), False),
    "asked to create": (MINE, PAYS, True),
    "killed by a person": (replace(MINE, killed_at=NOW), Terms(BY), True),
    "replace, this round's": (MINE, Terms(BY, "replace"), False),
    "replace, another run's": (MINE, Terms(BY | {"run_id": "r2"}, "replace"), True),
    "replace, before a clear": (MINE, Terms(BY | {"max_tries": 9}, "replace"), True),
    "skip, another run's": (MINE, Terms(BY | {"run_id": "r2"}), False),
    "replace, by nobody": (CREATED, Terms({}, "replace"), True),
}


@pytest.mark.parametrize(("found", "terms", "expected"), RECREATE.values(), ids=RECREATE.keys())
def test_when_a_task_may_pay_again_for_a_gone_video(found: Manifest, terms: Terms, expected: bool) -> None:
    assert rules.may_recreate(found, terms) is expected


# ---- a video whose output moderation refused

REFUSED_OUTPUT = errors.OutputModerationError("no", video_id="v1")
ROLLS = Terms(BY, on_moderated_output="retry")
ROLL: dict[str, tuple[Manifest, Terms, errors.WisdomGateError, bool]] = {
    "asked to fail": (MINE, Terms(BY), REFUSED_OUTPUT, False),
    "asked to retry": (MINE, ROLLS, REFUSED_OUTPUT, True),
    "asked only about gone videos": (MINE, PAYS, REFUSED_OUTPUT, False),
    "gone": (MINE, ROLLS, GONE, False),
    "the input": (MINE, ROLLS, errors.ModerationError("no"), False),
    "the content of a finished video": (MINE, ROLLS, errors.ContentModeratedError("no"), False),
    "its clip may be appearing": (replace(MINE, sha256="s", size=1), ROLLS, REFUSED_OUTPUT, False),
    "stored": (replace(MINE, phase="stored", sha256="s", size=1), ROLLS, REFUSED_OUTPUT, False),
    "another try has recorded it": (
        replace(MINE, phase="failed", error=REFUSED_OUTPUT.as_dict()),
        ROLLS,
        REFUSED_OUTPUT,
        True,
    ),
    "a person gave it up": (
        replace(MINE, phase="failed", error=NO_LUCK.as_dict()),
        ROLLS,
        REFUSED_OUTPUT,
        False,
    ),
}


@pytest.mark.parametrize(("found", "terms", "error", "expected"), ROLL.values(), ids=ROLL.keys())
def test_when_a_task_may_roll_a_refused_output_again(
    found: Manifest, terms: Terms, error: errors.WisdomGateError, expected: bool
) -> None:
    assert rules.may_recreate(found, terms, error=error) is expected


def rolled(over: Manifest = MINE) -> Manifest:
    return replace(MINE, claim_id="second", video_id="v2", replaced=None).over(
        rules.give_up(over, REFUSED_OUTPUT, ROLLS)
    )


def test_a_round_rolls_once_and_may_still_give_up_a_gone_video() -> None:
    second, both = rolled(), replace(PAYS, on_moderated_output="retry")
    assert rules.may_recreate(second, both, error=REFUSED_OUTPUT) is False
    assert rules.may_recreate(second, both, error=GONE) is True
    assert rules.may_recreate(given_up(), both, error=REFUSED_OUTPUT) is True
    assert rules.may_recreate(second, replace(both, made_by=BY | {"max_tries": 9}), error=REFUSED_OUTPUT) is True


def chain(record: Manifest | None) -> list[tuple[str, str | None]]:
    assert record is not None
    return [(each.phase, each.video_id) for each in (record, *record.below)]


def test_the_record_that_comes_back_counts_what_its_round_has_given_up() -> None:
    old = replace(MINE, claim_id="old", video_id="v0", phase="stored", sha256="s", size=1)
    second = rolled(MINE.over(old))
    assert chain(second) == [("created", "v2"), ("failed", "v1"), ("stored", "v0")]
    restored = rules.record_failure(second, second, NO_LUCK)
    assert chain(restored) == [("stored", "v0"), ("failed", "v1")]
    third = replace(MINE, claim_id="third", video_id="v3").over(restored)
    assert rules.may_recreate(third, ROLLS, error=REFUSED_OUTPUT) is False
    assert chain(rules.record_failure(third, third, NO_LUCK)) == chain(restored)


@pytest.mark.parametrize("error", [None, errors.BadRequestError("no")], ids=repr)
def test_a_claim_that_makes_nothing_uncovers_the_record_below_what_was_given_up(
    error: errors.WisdomGateError | None,
) -> None:
    old = replace(MINE, claim_id="old", video_id="v0", phase="stored", sha256="s", size=1)
    claim = replace(rolled(MINE.over(old)), phase="creating", video_id=None)
    left = rules.release_claim(claim, claim) if error is None else rules.record_refusal(claim, claim, error)
    assert chain(left) == [("stored", "v0"), ("failed", "v1")]


def given_up(record: Manifest = MINE, terms: Terms = PAYS) -> Manifest:
    return replace(record, claim_id="second", video_id="v2").over(rules.give_up(record, GONE, terms))


def test_a_round_gives_up_a_video_once() -> None:
    second = given_up()
    assert rules.may_recreate(second, PAYS) is False
    assert rules.may_recreate(second, Terms(BY | {"max_tries": 9}, on_gone="create")) is True
    assert rules.may_recreate(second, Terms(BY | {"run_id": "r2"}, on_gone="create")) is True


def test_a_round_gives_up_a_video_once_even_if_the_second_one_fails() -> None:
    second = given_up()
    failed = rules.record_failure(second, second, NO_LUCK)
    assert failed is not None
    assert failed.phase == "failed"
    third = replace(second, claim_id="third", video_id="v3", replaced=None).over(failed)
    assert rules.may_recreate(third, PAYS) is False


def test_a_round_gives_up_a_video_once_even_if_the_second_create_was_refused() -> None:
    second = replace(CREATING, claim_id="second", made_by=BY).over(rules.give_up(MINE, GONE, PAYS))
    failed = rules.record_refusal(second, second, errors.BadRequestError("no"))
    third = replace(second, claim_id="third", video_id="v3", replaced=None).over(failed)
    assert rules.may_recreate(third, PAYS) is False


def test_a_video_that_is_given_up_stays_in_the_record_below() -> None:
    assert [(record.phase, record.video_id) for record in given_up().below] == [("failed", "v1")]


def test_whoever_spoils_the_word_of_a_given_up_video_gains_nothing() -> None:
    spoiled = replace(MINE, phase="failed", error={"given_up_by": 5})
    assert rules.may_recreate(replace(MINE, claim_id="second").over(spoiled), PAYS) is True


# ---- an announced expiry


MADE = replace(CREATED, created_at=NOW)
EXPIRY: dict[str, tuple[float | None, float, bool]] = {
    "none announced": (None, NOW + 1e9, False),
    "not yet": (NOW + 3600, NOW + 3600 - 1, False),
    "just passed": (NOW + 3600, NOW + 3600, False),
    "almost ten minutes ago": (NOW + 3600, NOW + 4199, False),
    "ten minutes ago": (NOW + 3600, NOW + 4200, True),
    "before the create": (NOW - 1, NOW + 1e6, False),
    "at the create": (NOW, NOW + 1e6, False),
    "zero": (0.0, NOW + 1e6, False),
    "negative": (-5.0, NOW + 1e6, False),
    "in milliseconds": (NOW * 1000, NOW + 1e6, False),
    "not a number": (float("nan"), NOW + 1e6, False),
    "for ever": (float("inf"), NOW + 1e6, False),
}


@pytest.mark.parametrize(("expires_at", "now", "expected"), EXPIRY.values(), ids=EXPIRY.keys())
def test_an_expiry_counts_ten_minutes_after_it_passed(expires_at: float | None, now: float, expected: bool) -> None:
    assert rules.is_expired(MADE, expires_at, now) is expected


def test_an_expiry_is_compared_with_the_claim_if_the_create_s_time_is_not_recorded() -> None:
    assert rules.is_expired(CREATED, NOW - 1, NOW + 1e6) is False
    assert rules.is_expired(CREATED, NOW + 1, NOW + 1e6) is True


# ---- fields of a later version


LATER = {"budget": {"name": "team", "reserved": [1, 2]}, "poster": "cat.jpg", "none": None}
BELOW = replace(OLD, unknown={"poster": "old.jpg"})

EVERY_CHANGE: dict[str, Change] = CHANGES | {
    "record_refusal": lambda found: rules.record_refusal(found, CREATING, NO_LUCK),
    "recall_id": lambda found: rules.recall_id(found, CREATING, REMEMBERED),
    "mark_killed": lambda found: rules.mark_killed(found, "mine", "v1", BY, NOW),
    "give_up": lambda found: rules.give_up(found, GONE, PAYS) if found else None,
    "adopt": lambda found: rules.adopt(found, state_of(found, 1e9, 5), "v9", "new").new if found else None,
    "forget": lambda found: rules.forget(found, state_of(found, 1e9, None), 1e9, None).new if found else None,
    "over": lambda found: CREATING.over(found),
}


@pytest.mark.parametrize("change", EVERY_CHANGE)
@pytest.mark.parametrize("phase", OURS)
def test_fields_of_a_later_version_survive_every_change(phase: str, change: str) -> None:
    found = Manifest.load(replace(OURS[phase], made_by=BY, unknown=LATER).over(BELOW).dump(), "u")
    try:
        new = EVERY_CHANGE[change](found)
    except errors.WisdomGateError:
        return
    if new is not None:
        new = Manifest.load(new.dump(), "u")
        kept = [record.unknown for record in (new, *new.below) if record.unknown]
        assert kept in ([LATER, BELOW.unknown], [LATER], [BELOW.unknown])
        assert kept[0] == LATER or new.video_id == BELOW.video_id
