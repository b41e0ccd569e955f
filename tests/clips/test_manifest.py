"""The manifest as text: read as it was written, and refused where it is none of ours."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_cases import (
    CREATING,
    DOWNLOAD,
    IF_EXISTS,
    LUCKLESS,
    OTHER,
    SIZE,
    SOMEBODY,
    STORED,
    TAKEN,
    URI,
    VALUES,
    decided,
    found,
    wanted,
)

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.ledger import IfExists, Wanted
from airflow_provider_wisdomgate.clips.manifest import LARGEST, Manifest, Phase

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
