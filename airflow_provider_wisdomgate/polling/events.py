"""The one event of a wait, which crosses Airflow's database, and what a task makes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video, failure_of
from airflow_provider_wisdomgate.polling.decisions import Ended

EVENT_VERSION = 1


def event_of(video_id: str, end: Ended) -> dict[str, Any]:
    """Make the one event of a wait: plain JSON types, and all that the task needs to go on."""
    return {
        "version": EVENT_VERSION,
        "video_id": video_id,
        "outcome": end.outcome,
        "video": end.video.as_dict() if end.video else None,
        "error": end.error.as_dict() if end.error else None,
    }


def video_of(event: Mapping[str, Any] | None, *, may_recreate: bool) -> Video:
    """Take the finished video out of an event, or raise the typed error of its end.

    :param may_recreate: see :func:`gateway.video.failure_of`.
    """
    if not isinstance(event, Mapping) or event.get("version") != EVENT_VERSION:
        raise errors.WisdomGateError(
            f"The trigger's event is not one of this package: {str(event)[:200]}",
            next_step="Run the task again; it goes on with the same video.",
        )
    video = Video.from_dict(event.get("video"))
    error = errors.from_dict(event["error"]) if isinstance(event.get("error"), dict) else None
    return result_of(Ended(event.get("outcome", "refused"), video, error), may_recreate=may_recreate)


def result_of(end: Ended, *, may_recreate: bool) -> Video:
    """Return the finished video of a wait, or raise the typed error of its end."""
    if end.outcome == "ready" and end.video:
        return end.video
    if end.outcome == "failed" and end.video:
        raise failure_of(end.video, may_recreate=may_recreate)
    raise end.error or errors.WisdomGateError("The wait ended without a video and without a reason.")
