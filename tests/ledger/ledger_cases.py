"""Records that a try may find, requests that it may want, and what the rules decide of the two."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.record import Manifest, Phase
from airflow_provider_wisdomgate.ledger.rules import (
    IfExists,
    OnGone,
    OnLostCreate,
    Step,
    Terms,
    Wanted,
    fingerprint,
    next_step,
)

URI = "file:///videos/cat.mp4"
NOW = 1_000_000.0
LIVES = 370.0
YOUNG, OLD = 10.0, LIVES
RUN = {"dag_id": "d", "run_id": "r1", "task_id": "t", "map_index": -1, "run_started": "2026-01-01T00:00:00+00:00"}
ME: dict[str, Any] = RUN | {"max_tries": 2, "round": 0}
ME_CLEARED = ME | {"max_tries": 5, "round": 3}
ANOTHER_RUN = ME | {"run_id": "r2"}
SIBLING = ME | {"map_index": 7}
REQUEST = {"base_url": "https://g/v1", "model": "sora-2", "fields": {"seconds": "8", "size": "64x48"}, "prompt": "cat"}
OTHER = REQUEST | {"model": "veo-9", "fields": {"seconds": "4", "size": "64x48", "fps": 24}, "prompt": "dog"}
SIZE = 500

IF_EXISTS: tuple[IfExists, ...] = get_args(IfExists)


def terms(
    made_by: dict[str, Any] = ME,
    if_exists: IfExists = "skip",
    on_lost_create: OnLostCreate = "fail",
    on_gone: OnGone = "fail",
) -> Terms:
    return Terms(made_by, if_exists, on_lost_create, on_gone)


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
    record: Manifest | None, clip_size: int | None, asks: Terms, wanted: Wanted | None, age: float = YOUNG
) -> Step | str:
    """Return the step, or the name of the error."""
    try:
        return next_step(record, clip_size, asks, wanted, age=age)
    except errors.WisdomGateError as error:
        return type(error).__name__


TAKEN = "DestinationTakenError"
LOST = "LostCreateError"


def failed(kind: str, **values: Any) -> Manifest:
    return found("failed", **({"video_id": "video_1", "error": {"error": kind, "message": "no"}} | values))


CREATING = found("creating")
CREATED = found("created")
STORED = found("stored")
LUCKLESS = failed("VideoFailedError")

SAME = Wanted(REQUEST)
ANOTHER_REQUEST = Wanted(OTHER)
HERE = {"base_url": REQUEST["base_url"]}
DOWNLOAD = Wanted(HERE, video_id="video_1")
ANOTHER = Wanted(HERE, video_id="video_2")
ELSEWHERE = Wanted({"base_url": "https://h/v1"}, video_id="video_1")

# What JSON can hold.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
