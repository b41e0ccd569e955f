"""The record as text: read as it was written, refused if it is not ours, never written if it cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_cases import (
    ANOTHER_REQUEST,
    ANOTHER_RUN,
    CREATING,
    DOWNLOAD,
    IF_EXISTS,
    LUCKLESS,
    ME,
    SAME,
    SIZE,
    STORED,
    TAKEN,
    URI,
    VALUES,
    decided,
    found,
    terms,
)

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.record import FIELDS, KINDS, LARGEST, ONLY_IF_SET, Manifest, Phase
from airflow_provider_wisdomgate.ledger.rules import IfExists, Wanted

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
    answer=st.none() | WORDS,
    killed_at=TIMES,
    unknown=st.dictionaries(WORDS.filter(lambda name: name not in FIELDS), VALUES, max_size=2),
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


def test_fields_that_a_newer_release_adds_are_kept() -> None:
    later = STORED.as_dict() | {"colour": "red", "poster": {"uri": "x"}}
    read = Manifest.load(json.dumps(later).encode(), URI)
    assert read.unknown == {"colour": "red", "poster": {"uri": "x"}}
    assert read.as_dict() == later


def test_an_unknown_field_takes_no_known_one_s_place() -> None:
    """Also one that is left out if it is unset, and the one that holds the unknown ones."""
    values = {"unknown": {"phase": "failed"}, "phase": "stored", "version": 1}
    read = Manifest.load(json.dumps(STORED.as_dict() | values).encode(), URI)
    assert (read.phase, read.unknown) == ("stored", {"unknown": {"phase": "failed"}})
    assert Manifest.load(read.dump(), URI) == read


def test_the_last_line_is_the_version_s() -> None:
    for record in (CREATING, STORED, LUCKLESS, replace(STORED, unknown={"zebra": 1})):
        assert record.dump().endswith(b',\n "version": 1\n}\n')


def test_every_field_has_a_kind() -> None:
    assert set(KINDS) == set(FIELDS) >= set(ONLY_IF_SET)


OF_0_1_0 = """{
 "phase": "stored", "claim_id": "c", "uri": "file:///videos/cat.mp4", "claimed_at": 1.5, "video_id": "v",
 "fingerprint": "f", "request": {"model": "m"}, "made_by": {"dag_id": "d", "round": 0}, "request_ids": ["q"],
 "created_at": 2.5, "expires_at": null, "stored_at": 3.5, "size": 5, "sha256": "ab", "content_type": "video/mp4",
 "duration": 1.0, "width": 2, "height": 3, "error": null, "version": 1
}"""


def test_a_record_of_the_first_release_is_read() -> None:
    read = Manifest.load(OF_0_1_0.encode(), URI)
    assert read.as_dict() == json.loads(OF_0_1_0)


LATER_VERSIONS: dict[str, tuple[Any, str]] = {
    "with the version that it needs": ("0.9", "Upgrade airflow-provider-wisdomgate to version 0.9."),
    "without": (None, "Upgrade airflow-provider-wisdomgate to the newest version."),
    "with nonsense": ({"a": 1}, "Upgrade airflow-provider-wisdomgate to the newest version."),
    "with a long text": ("x" * 50, "Upgrade airflow-provider-wisdomgate to the newest version."),
}


@pytest.mark.parametrize(("needs", "next_step"), LATER_VERSIONS.values(), ids=LATER_VERSIONS.keys())
def test_a_record_of_a_later_version_names_the_package_that_reads_it(needs: Any, next_step: str) -> None:
    later = {"phase": "paid", "version": 2, "needs": needs, "claim_id": ["of", "another", "kind"]}
    with pytest.raises(errors.DamagedManifestError, match="record version 2") as caught:
        Manifest.load(json.dumps(later).encode(), URI)
    assert caught.value.next_step == next_step


# ---- nothing is written that cannot be read


def nest(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


UNREADABLE: dict[str, dict[str, Any]] = {
    "a length of 1e15 s": {"duration": 1e15},
    "an infinite length": {"duration": float("inf")},
    "a time that is not a number": {"expires_at": float("nan")},
    "a size of a fraction": {"size": 1.5},
    "a text for a number": {"width": "640"},
    "a number for a text": {"content_type": 5},
    "an unknown phase": {"phase": "paid"},
    "no claim": {"claim_id": None},
    "an infinite number in the request": {"request": {"fields": {"scale": float("inf")}}},
    "one that is not a number": {"request": {"fields": {"scale": float("nan")}}},
    "nested too deep": {"request": {"fields": nest(70)}},
    "nested very deep": {"request": {"fields": nest(5000)}},
    "a later version": {"version": 2},
}


@pytest.mark.parametrize("values", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_record_that_cannot_be_read_again_is_not_written(values: dict[str, Any]) -> None:
    with pytest.raises(errors.WisdomGateError, match="cannot be read again"):
        replace(STORED, **values).dump()


ANYTHING = VALUES | st.floats() | st.integers(-(10**20), 10**20) | WORDS


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([CREATING, STORED, LUCKLESS]), st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=3))
def test_nothing_is_written_that_is_not_read_as_it_was(base: Manifest, values: dict[str, Any]) -> None:
    record = replace(base, **values)
    try:
        data = record.dump()
    except errors.WisdomGateError:
        return
    read = Manifest.load(data, URI)
    assert read.as_dict() == record.as_dict()
    assert read.dump() == data


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
    "deep": json.dumps(GOOD | {"request": nest(70)}).encode(),
    "so deep that it can be read and not be written": json.dumps(GOOD | {"colour": nest(900)}).encode(),
    "an earlier version": json.dumps(GOOD | {"version": 0}).encode(),
    "no version": json.dumps({k: v for k, v in GOOD.items() if k != "version"} | {"phase": None}).encode(),
    "a version of something else": b'{"version": 2, "name": "x"}',
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
    st.sampled_from([SAME, ANOTHER_REQUEST, DOWNLOAD, None]),
    st.sampled_from([ME, ANOTHER_RUN, {}]),
    st.sampled_from(IF_EXISTS),
)
def test_whatever_a_record_contains_a_try_ends_in_a_step_or_a_typed_error(
    values: dict[str, Any], clip_size: int | None, wanted: Wanted | None, by: dict[str, Any], if_exists: IfExists
) -> None:
    for base in (GOOD, CREATING.as_dict(), LUCKLESS.as_dict()):
        try:
            record = Manifest.load(json.dumps(base | values).encode(), URI)
        except errors.DestinationTakenError:
            continue
        assert decided(record, clip_size, terms(by, if_exists), wanted)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, -(10**16)])
@pytest.mark.parametrize("name", ["claimed_at", "claim_seconds", "size", "stored_at"])
def test_a_manifest_with_a_number_that_breaks_arithmetic_is_none_of_ours(name: str, number: float) -> None:
    values = {**Manifest("creating", "c", "file:///cat.mp4", 1.0).as_dict(), name: number}
    with pytest.raises(errors.DestinationTakenError):
        Manifest.load(json.dumps(values).encode(), "file:///cat.mp4.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_is_no_record_of_ours(number: str) -> None:
    """A record with NaN is never equal to itself, so a task would wait for its claim for ever."""
    data = found("creating", request={"scale": 5}).dump().replace(b'"scale": 5', f'"scale": {number}'.encode())
    with pytest.raises(errors.DestinationTakenError):
        Manifest.load(data, URI)
