"""The ledger: what a try finds at its destination, and what it does then. Design section 3, as tables."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.ledger import (
    OLD_CLAIM_SECONDS,
    Await,
    Claim,
    Done,
    Follow,
    IfExists,
    OnLostCreate,
    Step,
    Wanted,
    fingerprint,
    lost_create,
    next_step,
)
from airflow_provider_wisdomgate.clips.manifest import LARGEST, Manifest, Phase

URI = "file:///videos/cat.mp4"
NOW = 1_000_000.0
LIVES = 370.0
YOUNG, OLD = 10.0, LIVES
ME = {"dag_id": "d", "run_id": "r1", "task_id": "t", "map_index": -1, "round": 0}
ME_CLEARED = ME | {"round": 1}
SOMEBODY = ME | {"run_id": "r2"}
REQUEST = {"base_url": "https://g/v1", "model": "sora-2", "fields": {"seconds": "8", "size": "64x48"}, "prompt": "cat"}
OTHER = REQUEST | {"model": "veo-9", "fields": {"seconds": "4", "size": "64x48", "fps": 24}, "prompt": "dog"}
SIZE = 500

IF_EXISTS: tuple[IfExists, ...] = get_args(IfExists)
ON_LOST_CREATE: tuple[OnLostCreate, ...] = get_args(OnLostCreate)


def wanted(request: dict[str, Any] = REQUEST, made_by: dict[str, Any] = ME) -> Wanted:
    return Wanted(request, fingerprint(request), made_by=made_by)


def found(phase: Phase, **values: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "claim_id": "claim",
        "uri": URI,
        "claimed_at": NOW,
        "fingerprint": fingerprint(REQUEST),
        "request": REQUEST,
        "made_by": ME,
    }
    if phase == "creating":
        defaults["claim_seconds"] = LIVES
    if phase in ("created", "stored"):
        defaults["video_id"] = "video_1"
    if phase == "stored":
        defaults |= {"size": SIZE, "sha256": "ab", "stored_at": NOW}
    return Manifest(phase, **(defaults | values))


def decided(
    manifest: Manifest | None,
    clip_size: int | None,
    want: Wanted,
    if_exists: IfExists = "skip",
    on_lost_create: OnLostCreate = "fail",
    age: float = YOUNG,
) -> Step | str:
    """Return the step, or the name of the error."""
    try:
        return next_step(manifest, clip_size, want, if_exists=if_exists, on_lost_create=on_lost_create, age=age)
    except errors.WisdomGateError as error:
        return type(error).__name__


TAKEN = "DestinationTakenError"
LOST = "LostCreateError"


def failed(kind: str, **values: Any) -> Manifest:
    return found("failed", video_id="video_1", error={"error": kind, "message": "no"}, **values)


CREATING = found("creating")
CREATED = found("created")
STORED = found("stored")
LUCKLESS = failed("VideoFailedError")

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

HERE = {"base_url": REQUEST["base_url"]}
DOWNLOAD = Wanted(HERE, video_id="video_1", made_by=ME)
ANOTHER = Wanted(HERE, video_id="video_2", made_by=ME)
ELSEWHERE = Wanted({"base_url": "https://h/v1"}, video_id="video_1", made_by=ME)


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


# ---------------------------------------------------------------------------------------- what is said

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


# ------------------------------------------------------------------------------------------ fingerprint


def test_a_fingerprint_stays_the_same_over_releases_and_orders_of_keys() -> None:
    known = "361d0a0cf201d3c0a186c057f1d1e9e5f7b3e5c78628371081c1b60de96b20d0"  # by release 0.1.0
    assert fingerprint({"model": "sora-2", "fields": {"b": 1, "a": "é"}}) == fingerprint(
        {"fields": {"a": "é", "b": 1}, "model": "sora-2"}
    )
    assert fingerprint({"model": "sora-2", "fields": {"b": 1, "a": "é"}}) == known


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)


@settings(deadline=None, max_examples=50)
@given(OBJECTS)
def test_a_fingerprint_survives_json_and_any_order(request: dict[str, Any]) -> None:
    backwards = dict(reversed(list(request.items())))
    assert fingerprint(request) == fingerprint(json.loads(json.dumps(backwards)))


@settings(deadline=None, max_examples=50)
@given(OBJECTS, OBJECTS)
def test_requests_have_the_same_fingerprint_only_if_they_are_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (fingerprint(one) == fingerprint(two)) is same


@pytest.mark.parametrize("key", REQUEST)
def test_everything_in_a_request_shapes_its_fingerprint(key: str) -> None:
    assert fingerprint(REQUEST | {key: "other"}) != fingerprint(REQUEST)
    assert fingerprint({k: v for k, v in REQUEST.items() if k != key}) != fingerprint(REQUEST)


# ------------------------------------------------------------------------------------------- the record

# Surrogates, too: a gateway may cut a text in the middle of an emoji, and its message goes into `error`.
WORDS = st.text(st.characters() | st.sampled_from("\ud83d\x00"), max_size=8)
TIMES = st.none() | st.floats(0, 1e12)
COUNTS = st.none() | st.integers(0, int(LARGEST) - 1)
DETAILS = st.dictionaries(st.text(max_size=3), st.integers() | st.lists(WORDS, max_size=2) | WORDS, max_size=2)
MANIFESTS = st.builds(
    Manifest,
    phase=st.sampled_from(get_args(Phase)),
    claim_id=WORDS,
    uri=WORDS,
    claimed_at=st.floats(0, 1e12),
    video_id=st.none() | WORDS,
    request=DETAILS,
    made_by=DETAILS,
    request_ids=st.lists(WORDS, max_size=2).map(tuple),
    expires_at=TIMES,
    size=COUNTS,
    duration=TIMES,
    error=st.none() | DETAILS,
)


@settings(deadline=None, max_examples=50)
@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert Manifest.load(manifest.dump(), URI) == manifest
    assert json.loads(manifest.dump()) == manifest.as_dict()


def test_a_manifest_is_text_that_people_can_read() -> None:
    text = found("creating", request={"prompt": "a cat"}).dump().decode()
    assert text.endswith("}\n")
    assert '\n "phase": "creating",\n' in text


def test_keys_that_a_newer_release_adds_are_passed_over() -> None:
    assert Manifest.load(json.dumps(STORED.as_dict() | {"colour": "red"}).encode(), URI) == STORED


GOOD = json.loads(found("stored", error={"error": "x"}).dump())
JUNK: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "null": b"null",
    "a list": b"[]",
    "a list of names": json.dumps(list(GOOD)).encode(),
    "a text": b'"phase"',
    "a number": b"5",
    "an empty object": b"{}",
    "somebody else's JSON": b'{"uri": "x", "size": 5}',
    "very deep": b"[" * 100_000,
    "another version": json.dumps(GOOD | {"version": 2}).encode(),
    "another phase": json.dumps(GOOD | {"phase": "paid"}).encode(),
    "no claim": json.dumps({k: v for k, v in GOOD.items() if k != "claim_id"}).encode(),
}
WRONG: dict[str, list[Any]] = {
    "phase": [None, 5, ["stored"], {}],
    "claim_id": [None, 5, []],
    "uri": [None, 5],
    "claimed_at": [None, "now", []],
    "video_id": [5, []],
    "request": [None, "x", 5, []],
    "made_by": [None, "x", 5, []],
    "request_ids": ["abc", 5],
    "size": ["500", []],
    "error": ["x", 5, []],
    "version": [None, "1", []],
}


@pytest.mark.parametrize("data", JUNK.values(), ids=JUNK.keys())
def test_what_is_no_manifest_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(errors.DestinationTakenError) as caught:
        Manifest.load(data, f"{URI}.json")
    assert caught.value.as_dict() == {
        "error": TAKEN,
        "message": f"{URI}.json is no manifest of this package.",
        "next_step": "Move it away, or give the task another destination.",
    }


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in WRONG.items() for v in values], ids=repr)
def test_a_manifest_with_a_value_of_another_kind_is_refused(key: str, value: Any) -> None:
    with pytest.raises(errors.DestinationTakenError):
        Manifest.load(json.dumps(GOOD | {key: value}).encode(), URI)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(GOOD)), VALUES, min_size=1, max_size=3),
    st.none() | st.just(SIZE),
    st.sampled_from([wanted(), wanted(OTHER), wanted(made_by=SOMEBODY), DOWNLOAD]),
    st.sampled_from(IF_EXISTS),
)
def test_whatever_stands_in_a_manifest_a_try_ends_in_a_step_or_a_typed_error(
    values: dict[str, Any], clip_size: int | None, want: Wanted, if_exists: IfExists
) -> None:
    for base in (GOOD, asdict(CREATING), asdict(LUCKLESS)):
        try:
            manifest = Manifest.load(json.dumps(base | values).encode(), URI)
        except errors.DestinationTakenError:
            continue
        assert decided(manifest, clip_size, want, if_exists)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, -(10**16)])
@pytest.mark.parametrize("name", ["claimed_at", "claim_seconds", "size", "stored_at"])
def test_a_manifest_with_a_number_that_breaks_arithmetic_is_none_of_ours(name: str, number: float) -> None:
    values = {**Manifest("creating", "c", "file:///cat.mp4", 1.0).as_dict(), name: number}
    with pytest.raises(errors.DestinationTakenError):
        Manifest.load(json.dumps(values).encode(), "file:///cat.mp4.json")
