"""Makes answers and names errors, for the tests of what answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import (
    Reply,
)

JSON_TYPE = {"content-type": "application/json"}


def reply(status: int, body: Any = b"", headers: dict[str, str] | None = None, video_id: str | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, JSON_TYPE if headers is None else headers, raw, at=1_000_000.0, video_id=video_id)


def ended(parse: Callable[[Reply], Any], answer: Reply) -> Any:
    """Return what a parser makes of an answer: a value, or its error as a dict without the next step."""
    try:
        return parse(answer)
    except errors.WisdomGateError as error:
        return fields_of(error)


def fields_of(error: errors.WisdomGateError) -> dict[str, Any]:
    return {name: value for name, value in error.as_dict().items() if name != "next_step"}


def error(kind: str, status: int, message: str, **facts: Any) -> dict[str, Any]:
    return {"error": kind, "message": message, "status": status, **facts}


UPSTREAM = "Upstream service returned status {}"

NOT_READY = {
    "message": "Video is still processing",
    "data": {"error": {"message": "not ready", "type": "video_not_ready", "code": "video_processing"}},
}

FULL = {
    "id": "video_1",
    "object": "video",
    "model": "sora-2",
    "prompt": "a cat",
    "status": "in_progress",
    "progress": 42,
    "created_at": 1_790_000_000,
    "completed_at": 1_790_000_100,
    "expires_at": 1_790_003_600,
    "seconds": "8",
    "size": "1280x720",
    "remixed_from_video_id": "video_0",
    "error": None,
    "usage": {"tokens": 5},
}

# A video that is finished, and the answer that tells of it.
VIDEO = {"id": "video_1", "object": "video", "model": "any", "status": "completed", "progress": 100}
TOLD = json.dumps(VIDEO).encode()
