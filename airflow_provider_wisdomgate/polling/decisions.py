"""What to do after each look, and after each failed request. Pure: time and chance are arguments.

Rules: a finished video beats a passed deadline. A passing fault never ends a paid wait; too many misses in a
row do, and one good look forgives them. A look that failed is followed by a wait, too. Every end has a name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import Video, failure_of
from airflow_provider_wisdomgate.polling.schedule import pause

Outcome = Literal["ready", "failed", "expired", "timed_out", "refused"]

MAX_MISSES = 10
# A part of poll_interval; it doubles with each miss in a row.
MISS_PAUSE = 1 / 6
# A video asked for right after its create may not be known everywhere yet [contract: 404, "after a short grace"].
MAX_NOT_FOUND = 3
EVENT_VERSION = 1
DAY = 86400.0


@dataclass(frozen=True)
class Wait:
    """A wait so far.

    :param deadline: epoch seconds.
    :param poll_interval: the longest pause between two looks, in seconds.
    :param since: when it began, in epoch seconds; None where nobody knows.
    :param misses: failed looks in a row, ``not_found`` those of them that were a 404.
    """

    deadline: float
    poll_interval: float
    since: float | None = None
    misses: int = 0
    not_found: int = 0
    last: Video | None = None


@dataclass(frozen=True)
class Again:
    """Look again in ``delay`` seconds."""

    wait: Wait
    delay: float


@dataclass(frozen=True)
class End:
    """The wait is over. ``video`` is what was last seen, ``error`` why it did not end ready."""

    outcome: Outcome
    video: Video | None = None
    error: errors.WisdomGateError | None = None


def after_look(wait: Wait, seen: Video | errors.WisdomGateError, now: float, jitter: float) -> Again | End:
    """Decide what follows a look.

    :param seen: the video, or the error that the look ended with.
    :param now: epoch seconds.
    :param jitter: a random number from 0 to 1.
    """
    if isinstance(seen, errors.WisdomGateError):
        return _after_miss(wait, seen, now, jitter)
    wait = replace(wait, misses=0, not_found=0, last=seen)
    if seen.is_done:
        return _expired(seen) if seen.is_expired(now) else End("ready", seen)
    if seen.is_failed:
        error = failure_of(seen, may_recreate=True)
        return End("expired" if isinstance(error, errors.VideoExpiredError) else "failed", seen, error)
    return _again(wait, pause(_age(wait, seen, now), wait.poll_interval, seen.progress, jitter), now)


def _age(wait: Wait, video: Video, now: float) -> float:
    """Return how old the job is, by the gateway's clock where that makes sense."""
    since = now if wait.since is None else wait.since
    asked = video.created_at
    return now - (asked if asked is not None and now - DAY < asked < since else since)


def first_look(wait: Wait, now: float, jitter: float) -> Again:
    """Decide when to look for the first time: a video that was just asked for cannot be finished yet."""
    return Again(wait, min(pause(0.0, wait.poll_interval, None, jitter), max(wait.deadline - now, 0.0)))


def _after_miss(wait: Wait, error: errors.WisdomGateError, now: float, jitter: float) -> Again | End:
    if isinstance(error, errors.RateLimitedError):
        # Being told to slow down says nothing against the video: it is no miss, only the deadline bounds it.
        return _again(
            wait, max(error.retry_after or wait.poll_interval, pause(0.0, wait.poll_interval, None, jitter)), now
        )
    unknown = isinstance(error, errors.VideoNotFoundError)
    wait = replace(wait, misses=wait.misses + 1, not_found=wait.not_found + unknown)
    is_final = not error.is_transient and not unknown
    if is_final or wait.not_found >= MAX_NOT_FOUND or wait.misses >= MAX_MISSES:
        return End("refused", wait.last, error)
    delay = wait.poll_interval * MISS_PAUSE * 2**wait.misses * (0.9 + 0.2 * jitter)
    return _again(wait, max(error.retry_after or 0.0, min(delay, 4 * wait.poll_interval)), now)


def _again(wait: Wait, delay: float, now: float) -> Again | End:
    if now >= wait.deadline:
        status = f"last seen {wait.last.status} ({_percent(wait.last)})" if wait.last else "never seen"
        video_id = wait.last.id if wait.last else None
        message = f"The deadline passed before the video was finished ({status})"
        advice = "It goes on at the gateway: run the task again to go on waiting, or give it a longer timeout."
        return End("timed_out", wait.last, errors.WaitTimeoutError(message, video_id=video_id, next_step=advice))
    # The last look happens at the deadline, not a poll interval after it.
    return Again(wait, min(delay, max(wait.deadline - now, 0.0)))


def _expired(video: Video) -> End:
    error = errors.VideoExpiredError(
        "The video was finished, and its time at the gateway is over", video_id=video.id, expires_at=video.expires_at
    )
    return End("expired", video, error)


def news(wait: Wait, seen: Video | errors.WisdomGateError, now: float) -> tuple[int, str] | None:
    """Say what a look brought that the one before had not: log level and line. None where nothing changed."""
    if isinstance(seen, errors.WisdomGateError):
        return logging.WARNING, f"A look brought no status: {seen}"
    last = wait.last
    if last and (last.status, last.progress) == (seen.status, seen.progress):
        return None
    line = f"Video {seen.id} is {seen.status} ({_percent(seen)}{_to_go(wait, seen, now)})"
    if seen.is_known_word or (last and last.status == seen.status):
        return logging.INFO, line
    return logging.WARNING, f"{line}: a status word that is not known; waiting on"


def _percent(video: Video) -> str:
    return "progress unknown" if video.progress is None else f"{video.progress:.0f}%"


def _to_go(wait: Wait, video: Video, now: float) -> str:
    if video.progress is None or not 0 < video.progress < 100:
        return ""
    return f", about {_age(wait, video, now) * (100 - video.progress) / video.progress:.0f} s to go"


def event_of(video_id: str, end: End) -> dict[str, Any]:
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

    :param may_recreate: see :func:`replies.failure_of`.
    """
    if not isinstance(event, Mapping) or event.get("version") != EVENT_VERSION:
        raise errors.WisdomGateError(
            f"The trigger's event is none of ours: {str(event)[:200]}",
            next_step="Run the task again; it goes on with the same video.",
        )
    video = Video.from_dict(event.get("video"))
    error = errors.from_dict(event["error"]) if isinstance(event.get("error"), dict) else None
    return result_of(End(event.get("outcome", "refused"), video, error), may_recreate=may_recreate)


def result_of(end: End, *, may_recreate: bool) -> Video:
    """Return the finished video of a wait, or raise the typed error of its end."""
    if end.outcome == "ready" and end.video:
        return end.video
    if end.outcome == "failed" and end.video:
        raise failure_of(end.video, may_recreate=may_recreate)
    raise end.error or errors.WisdomGateError("The wait ended without a video and without a reason.")
