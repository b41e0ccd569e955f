"""One limit for every record: what is written can be read again, also after the payment."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledger_cases import CREATED, CREATING, STORED, URI
from support import sha256

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import MAX_RECORD_BYTES
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.record import LONGEST_TEXT, MAX_VALUES, Manifest, recorded

IMAGE = "data:image/png;base64," + "A" * 3_000_000
LARGE: dict[str, Any] = {
    "many texts": {"fields": {"frames": ["A" * LONGEST_TEXT] * 256}},
    "many values": {"fields": {"frames": [0] * MAX_VALUES}},
    "many objects": {"fields": {"frames": [{}] * MAX_VALUES}},
    "wide letters": {"fields": {"frames": ["猫" * LONGEST_TEXT] * 80}},
}


@pytest.mark.parametrize("request_", LARGE.values(), ids=LARGE)
def test_a_request_too_large_for_a_record_is_refused_at_the_claim(request_: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError, match="too large to be recorded"):
        replace(CREATING, request=request_).over(None)


@pytest.mark.parametrize("request_", LARGE.values(), ids=LARGE)
def test_a_record_too_large_to_be_read_is_not_written(request_: dict[str, Any]) -> None:
    with pytest.raises(errors.WisdomGateError, match="could not be read again"):
        replace(CREATED, request={"again": [request_] * 2}).dump()


def test_a_claim_leaves_room_for_all_that_is_recorded_later() -> None:
    frames = {"frames": ["A" * LONGEST_TEXT] * 230}
    claim = replace(CREATING, request={"fields": frames}).over(None)
    assert len(claim.dump()) > MAX_RECORD_BYTES * 0.89
    later = {"error": {"message": "x" * 500}, "answer": "y" * 500, "request_ids": ("z" * 100,) * 100}
    assert Manifest.load(replace(claim, **later).dump(), URI) == replace(claim, **later)  # type: ignore[arg-type]


def test_of_a_chain_that_is_too_large_the_oldest_records_are_dropped() -> None:
    """Versions before 0.3 recorded the images of a request in full."""
    record = replace(STORED, claim_id="0", request={"fields": {"images": [IMAGE]}})
    for number in range(1, 9):
        record = replace(record, claim_id=str(number), replaced=None).over(record)
    assert [each.claim_id for each in record.below] == ["7", "6", "5", "4"]
    assert Manifest.load(record.dump(), URI) == record


def test_long_texts_are_recorded_by_their_hash() -> None:
    short = {"fields": {"images": ["https://example.com/a.png", 1, None, True], "seed": 7}, "prompt": "a cat"}
    assert recorded(short) == short
    long = recorded({"fields": {"images": [IMAGE, {"url": IMAGE}]}})
    shown = long["fields"]["images"][0]
    assert shown.startswith("data:image/png;base64,AAA")
    assert shown.endswith(f"({len(IMAGE)} characters, sha256 {sha256(IMAGE.encode())})")
    assert long["fields"]["images"][1] == {"url": shown}


@pytest.mark.parametrize("filling", [b"[],", b"{},", b"0,", b'"",'], ids=["lists", "objects", "numbers", "texts"])
def test_a_record_of_many_values_is_damage_and_costs_no_memory(filling: bytes, tmp_path: Path) -> None:
    values = filling * (4_000_000 // len(filling)) + b"0"
    data = STORED.dump().replace(b'"request": {', b'"request": {"x": [' + values + b"],")
    (tmp_path / "cat.mp4.json").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(errors.DamagedManifestError):
        Destination(str(tmp_path / "cat.mp4")).find()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(data)
