"""Waits, videos and errors, for the tests of polling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import (
    Wait,
)

NOW = 1_000_000.0

MIDDLE = 0.5  # the jitter that changes nothing

# Begun so long ago that the pause between polls has grown to all of poll_interval.
WAIT = Wait(deadline=NOW + 600.0, poll_interval=10.0, since=NOW - 1000.0)

LATE = replace(WAIT, deadline=NOW)

QUEUED = Video("v", "queued")

RUNNING = Video("v", "in_progress", progress=40.0)

STRANGE = Video("v", "uploading", progress=100.0, completed_at=1.0)

DONE = Video("v", "completed", expires_at=NOW + 3600.0)

STALE = Video("v", "completed", expires_at=NOW)

FAILED = Video("v", "failed", error_code="server_error", error_message="no luck")

BLOCKED = Video("v", "failed", error_code="moderation_blocked", error_message="no")

GONE = Video("v", "expired")

FAULT = errors.GatewayFaultError("fault", status=502)

BROKEN = errors.ConnectionBrokenError("broken")

MISSING = errors.VideoNotFoundError("unknown", status=404)

SLOW_DOWN = errors.RateLimitedError("slow down", status=429)

# What an ingress says, in no shape of the gateway's.
PAGE = errors.UnexpectedReplyError("an HTML page", status=404)

BAD_KEY = errors.AuthenticationError("bad key", status=401)


def again(
    delay: float,
    wait: Wait = WAIT,
    *,
    failed_polls: int = 0,
    not_found: int = 0,
    unauthorized: int = 0,
    last: Video | None = None,
) -> Any:
    counts: dict[str, Any] = {"failed_polls": failed_polls, "not_found": not_found, "unauthorized": unauthorized}
    if not_found and wait.not_found_since is None:
        counts["not_found_since"] = NOW
    return ("again", replace(wait, last=last, **counts), delay)


def end(outcome: str, video: Video | None = None, error: errors.WisdomGateError | None = None) -> Any:
    return ("end", outcome, video, error.as_dict() if error else None)


def timed_out(status: str, video: Video | None = None) -> Any:
    return end(
        "timed_out",
        video,
        errors.WaitTimeoutError(
            f"The deadline passed before the video was finished ({status})",
            video_id=video.id if video else None,
            next_step="It goes on at the gateway: run the task again to go on waiting, or give it a longer timeout.",
        ),
    )


def outcome(take: Any) -> Any:
    try:
        return take()
    except errors.WisdomGateError as error:
        return error.as_dict() | {"text": str(error)}
