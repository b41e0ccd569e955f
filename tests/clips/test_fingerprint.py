"""The fingerprint of a request: the same for the same request in every release, another for another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_cases import REQUEST, VALUES

from airflow_provider_wisdomgate.clips.ledger import fingerprint


def test_a_fingerprint_stays_the_same_over_releases_and_orders_of_keys() -> None:
    known = "361d0a0cf201d3c0a186c057f1d1e9e5f7b3e5c78628371081c1b60de96b20d0"  # by release 0.1.0
    assert fingerprint({"model": "sora-2", "fields": {"b": 1, "a": "é"}}) == fingerprint(
        {"fields": {"a": "é", "b": 1}, "model": "sora-2"}
    )
    assert fingerprint({"model": "sora-2", "fields": {"b": 1, "a": "é"}}) == known


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
