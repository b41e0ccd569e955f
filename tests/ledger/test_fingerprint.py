"""The fingerprint of a request: the same for the same meaning, another for another; old ones still match."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_cases import ANOTHER_RUN, CREATED, REQUEST, SIZE, STORED, VALUES, decided, found, terms

from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Done, Follow, Wanted, fingerprint, old_fingerprint

KNOWN: dict[str, Any] = {"model": "sora-2", "fields": {"b": 1, "a": "é"}}


def test_a_fingerprint_stays_the_same_over_releases_and_orders_of_keys() -> None:
    of_0_1_0 = "361d0a0cf201d3c0a186c057f1d1e9e5f7b3e5c78628371081c1b60de96b20d0"
    of_0_3_0 = "77611334e912d455a6862d5c959ef96f7276f52983ba63e776b66e99120acf00"
    backwards = {"fields": {"a": "é", "b": 1}, "model": "sora-2"}
    assert old_fingerprint(KNOWN) == old_fingerprint(backwards) == of_0_1_0
    assert fingerprint(KNOWN) == fingerprint(backwards) == of_0_3_0


def with_fields(**fields: Any) -> dict[str, Any]:
    return {"model": "seedance", "fields": fields}


SAME_MEANING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "None is nothing": (with_fields(seed=None), with_fields()),
    "None below": (with_fields(camera={"pan": None, "zoom": 2}), with_fields(camera={"zoom": 2})),
    "duration is seconds": (with_fields(duration=5), with_fields(seconds="5")),
    "a number is its text": (with_fields(seconds=8), with_fields(seconds="8")),
    "a whole float is its integer": (with_fields(seconds=8.0), with_fields(seconds="8")),
    "a number in a list": (with_fields(points=[1, 2.0]), with_fields(points=["1", "2"])),
    "a fraction": (with_fields(scale=0.5), with_fields(scale="0.5")),
    "the prompt has a hash beside it": ({"prompt": "a cat", "prompt_sha256": "ab"}, {"prompt_sha256": "ab"}),
}
OTHER_MEANING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another number": (with_fields(seconds=8), with_fields(seconds=9)),
    "true is no text": (with_fields(audio=True), with_fields(audio="True")),
    "true is no number": (with_fields(audio=True), with_fields(audio=1)),
    "false is not left out": (with_fields(audio=False), with_fields()),
    "an empty text is not left out": (with_fields(negative=""), with_fields()),
    "None in a list has its place": (with_fields(points=[1, None]), with_fields(points=[1])),
    "duration beside seconds is a field of its own": (
        with_fields(seconds="5", duration="9"),
        with_fields(seconds="5"),
    ),
    "duration outside of fields": ({"duration": 5}, {"seconds": 5}),
}


@pytest.mark.parametrize(("one", "two"), SAME_MEANING.values(), ids=SAME_MEANING.keys())
def test_requests_of_one_meaning_have_one_fingerprint(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(("one", "two"), OTHER_MEANING.values(), ids=OTHER_MEANING.keys())
def test_requests_of_two_meanings_have_two_fingerprints(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert fingerprint(one) != fingerprint(two)


OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)


@settings(deadline=None, max_examples=50)
@given(OBJECTS)
def test_a_fingerprint_survives_json_and_any_order(request: dict[str, Any]) -> None:
    backwards = dict(reversed(list(request.items())))
    for of in (fingerprint, old_fingerprint):
        assert of(request) == of(json.loads(json.dumps(backwards)))


WORDS = st.recursive(
    st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
TEXTS = st.dictionaries(st.text(max_size=5), WORDS, max_size=3)


@settings(deadline=None, max_examples=50)
@given(TEXTS, TEXTS)
def test_requests_of_texts_have_one_fingerprint_only_if_they_are_the_same(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (fingerprint(one) == fingerprint(two)) is same


@pytest.mark.parametrize("key", REQUEST)
def test_everything_in_a_request_but_the_prompt_itself_shapes_its_fingerprint(key: str) -> None:
    is_prompt = key == "prompt"  # its hash stands beside it
    assert (fingerprint(REQUEST | {key: "other"}) == fingerprint(REQUEST)) is is_prompt
    assert (fingerprint({k: v for k, v in REQUEST.items() if k != key}) == fingerprint(REQUEST)) is is_prompt


OLD_REQUEST = REQUEST | {"fields": {"duration": 8, "seed": None}}
OF_0_2 = {"request": OLD_REQUEST, "fingerprint": old_fingerprint(OLD_REQUEST)}


@pytest.mark.parametrize(
    "fields",
    [{"duration": 8, "seed": None}, {"duration": 8}, {"seconds": "8"}],
    ids=["as it was", "no None", "as text"],
)
def test_a_record_with_a_fingerprint_of_an_earlier_version_matches_by_its_request(fields: dict[str, Any]) -> None:
    record, wanted = found("created", **OF_0_2), Wanted(REQUEST | {"fields": fields})
    assert wanted.fingerprint != record.fingerprint
    assert decided(record, None, terms(ANOTHER_RUN), wanted) == Follow(record, "video_1")
    stored = found("stored", **OF_0_2)
    assert decided(stored, SIZE, terms(ANOTHER_RUN), wanted) == Done(stored)


def test_a_record_with_an_old_fingerprint_of_another_request_does_not_match() -> None:
    record, wanted = found("created", **OF_0_2), Wanted(REQUEST | {"fields": {"duration": 9}})
    assert decided(record, None, terms(ANOTHER_RUN), wanted) == "DestinationTakenError"


def test_a_record_without_a_prompt_matches_the_same_request() -> None:
    """``record_prompt`` changed between two runs: the prompt is left out, its hash is not."""
    hidden = {name: value for name, value in REQUEST.items() if name != "prompt"}
    for record in (CREATED, STORED, Manifest(**{**vars(CREATED), "request": hidden})):
        assert Wanted(REQUEST).is_same_as(record)
        assert Wanted(hidden).is_same_as(record)
