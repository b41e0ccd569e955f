"""When to poll, what to do after each poll, and the one event of a wait. Pure: time and chance are arguments.

Rules: a finished video beats a passed deadline. A passing fault never ends a paid wait; too many failed polls in a
row do, and one good poll forgives them. A failed poll is followed by a pause, too. Only the video's own object ends a
video; every other answer ends at most the try. Every end has a name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.gateway.video import Video, failure_of

Outcome = Literal["ready", "failed", "expired", "timed_out", "refused"]

MAX_FAILED_POLLS = 10
# A part of poll_interval; it doubles with each failed poll in a row.
FAILED_POLL_DELAY = 1 / 6
# The grace for an id that a user gave: a new video may not be known everywhere yet.
MAX_NOT_FOUND = 3
# A paid video gets more patience. "Unknown" and "no content" end a try only so many seconds after its create, so many
# seconds after the first such answer in a row, and after so many of them.
PATIENCE_SINCE_CREATE = 900.0
PATIENCE_SINCE_FIRST = 300.0
PATIENCE_ANSWERS = 5
# A task without a triggerer, or in its first minute, tries the content again after at most so many seconds.
CONTENT_IN_TASK = 60.0
CONTENT_DELAYS = (1.0, 60.0)
MAX_UNAUTHORIZED = 2
# A Retry-After is a wish: one answer must not silence a wait for hours.
LONGEST_RETRY_AFTER = 300.0
DAY = 86400.0


@dataclass(frozen=True)
class Wait:
    """A wait so far.

    :param deadline: epoch seconds.
    :param poll_interval: the longest delay between two polls, in seconds.
    :param since: when it began, in epoch seconds; None if unknown.
    :param created_at: when the create of a paid video was sent, in epoch seconds; None for an id that a user gave.
    :param due_at: when a nearly finished video should be done, in epoch seconds, by its progress when ``due_left``
        percent were left.
    :param failed_polls: failed polls in a row; ``unauthorized`` counts those with a 401.
    :param not_found: "unknown" and "no content" answers in a row, the first of them at ``not_found_since``.
    """

    deadline: float
    poll_interval: float
    since: float | None = None
    created_at: float | None = None
    due_at: float | None = field(default=None, compare=False)
    due_left: float = field(default=0.0, compare=False)
    failed_polls: int = 0
    not_found: int = 0
    not_found_since: float | None = None
    unauthorized: int = 0
    last: Video | None = None


@dataclass(frozen=True)
class PollAgain:
    """Poll again in ``delay`` seconds."""

    wait: Wait
    delay: float


@dataclass(frozen=True)
class Ended:
    """The wait is over. ``video`` is what was last seen, ``error`` why it did not end ready."""

    outcome: Outcome
    video: Video | None = None
    error: errors.WisdomGateError | None = None


def after_poll(wait: Wait, seen: Video | errors.WisdomGateError, now: float, jitter: float) -> PollAgain | Ended:
    """Decide what follows a poll.

    :param seen: the video, or the error that the poll ended with.
    :param now: epoch seconds.
    :param jitter: a random number from 0 to 1.
    """
    if isinstance(seen, errors.WisdomGateError):
        return _after_failed_poll(wait, seen, now, jitter)
    wait = replace(wait, failed_polls=0, unauthorized=0, last=seen)  # it forgives the failed polls
    if not seen.is_done:
        wait = replace(wait, not_found=0, not_found_since=None)
    if seen.is_done:
        return Ended("ready", seen)  # whatever expires_at is: only its content can prove that it is gone
    if seen.is_failed:
        error = failure_of(seen, may_recreate=True)
        return Ended("expired" if isinstance(error, errors.VideoExpiredError) else "failed", seen, error)
    age = _age(wait, seen, now)
    wait = _expect(wait, age, seen.progress, now)
    overdue = 0.0 if wait.due_at is None else now - wait.due_at
    return _poll_again(wait, poll_delay(age, wait.poll_interval, seen.progress, jitter, overdue), now)


def _age(wait: Wait, video: Video, now: float) -> float:
    """Return how old the job is, by the gateway's clock if that makes sense."""
    since = now if wait.since is None else wait.since
    asked = video.created_at
    return now - (asked if asked is not None and now - DAY < asked < since else since)


def _expect(wait: Wait, age: float, progress: float | None, now: float) -> Wait:
    """Note when a video that is nearly finished should be; anew only after half of what was left is done."""
    rest = rest_of(age, progress)
    if progress is None or rest is None or rest * PART_OF_REST >= wait.poll_interval:
        return replace(wait, due_at=None)
    left = max(100 - progress, 1.0)  # a progress that creeps from 99.1 to 99.2 is stuck
    if wait.due_at is not None and left > wait.due_left / 2:
        return wait
    return replace(wait, due_at=now + rest, due_left=left)


def first_poll(wait: Wait, now: float, jitter: float) -> PollAgain:
    """Decide when to poll for the first time: a video that was just asked for cannot be finished yet."""
    return PollAgain(wait, min(poll_delay(0.0, wait.poll_interval, None, jitter), max(wait.deadline - now, 0.0)))


def _after_failed_poll(wait: Wait, error: errors.WisdomGateError, now: float, jitter: float) -> PollAgain | Ended:
    if isinstance(error, errors.RateLimitedError):
        longest = max(LONGEST_RETRY_AFTER, wait.poll_interval)
        # A 429 is not a failed poll: only the deadline ends a rate-limited wait.
        asked = min(error.retry_after or wait.poll_interval, longest)
        return _poll_again(wait, max(asked, poll_delay(0.0, wait.poll_interval, None, jitter)), now)
    error = as_poll_error(error)
    is_unknown, is_401 = isinstance(error, errors.VideoNotFoundError), isinstance(error, errors.AuthenticationError)
    wait = replace(wait, failed_polls=wait.failed_polls + 1, unauthorized=wait.unauthorized + is_401)
    if is_unknown:
        wait = missing_once_more(wait, now)
    # After one 401 the connection is read again: somebody may have changed the key. One bad response must not end the
    # wait, also at the limit of failed polls.
    has_second_chance = is_unknown or (is_401 and wait.unauthorized < MAX_UNAUTHORIZED)
    # A connection that leads to another gateway may lead back.
    may_pass = error.is_transient or has_second_chance or isinstance(error, errors.WrongGatewayError)
    is_enough = wait.failed_polls >= MAX_FAILED_POLLS and not has_second_chance
    if not may_pass or is_enough or (is_unknown and is_out_of_patience(wait, now)):
        return Ended("refused", wait.last, error)
    delay = wait.poll_interval * FAILED_POLL_DELAY * 2**wait.failed_polls * (0.9 + 0.2 * jitter)
    asked = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
    return _poll_again(wait, max(asked, min(delay, 4 * wait.poll_interval)), now)


def as_poll_error(error: errors.WisdomGateError) -> errors.WisdomGateError:
    """Return what an error answer to a poll means: only the video's own object can end a video."""
    if isinstance(error, errors.VideoExpiredError):
        return errors.VideoNotFoundError(error.message, **error.facts)
    if isinstance(error, errors.ModerationError | errors.VideoFailedError):
        return errors.UnexpectedReplyError(error.message, **error.facts)
    return error


def missing_once_more(wait: Wait, now: float) -> Wait:
    """Count an answer that a video is unknown, or its content not there."""
    since = now if wait.not_found_since is None else wait.not_found_since
    return replace(wait, not_found=wait.not_found + 1, not_found_since=since)


def is_out_of_patience(wait: Wait, now: float) -> bool:
    """Whether "unknown" and "no content" answers have ended the try."""
    if wait.created_at is None:
        return wait.not_found >= MAX_NOT_FOUND
    first = now if wait.not_found_since is None else wait.not_found_since
    is_old = now - wait.created_at >= PATIENCE_SINCE_CREATE and now - first >= PATIENCE_SINCE_FIRST
    return is_old and wait.not_found >= PATIENCE_ANSWERS


def after_missing_content(
    wait: Wait, error: errors.WisdomGateError, now: float, *, can_defer: bool = False
) -> PollAgain | Ended:
    """Decide what follows when a finished video's content is not there, or the video is unknown.

    :param can_defer: whether a delay may be so long that a task should not hold its worker for it.
    :returns: a ``PollAgain`` whose delay is above ``CONTENT_IN_TASK`` if the task should defer.
    """
    wait = missing_once_more(wait, now)
    if is_out_of_patience(wait, now):
        return Ended("refused", wait.last, error)
    if now >= wait.deadline:  # the try ends, and nobody may take the video for gone
        message = "The deadline passed before the video's content was there"
        return Ended("timed_out", wait.last, errors.WaitTimeoutError(message, **error.facts))
    waited = now - (now if wait.not_found_since is None else wait.not_found_since)
    shortest, longest = CONTENT_DELAYS
    delay = min(max(waited, shortest), longest)
    if can_defer and waited >= CONTENT_IN_TASK:
        delay = min(max(waited, 1.5 * CONTENT_IN_TASK), LONGEST_RETRY_AFTER)
    return PollAgain(wait, max(min(delay, wait.deadline - now), 0.0))


def _poll_again(wait: Wait, delay: float, now: float) -> PollAgain | Ended:
    if now >= wait.deadline:
        status = f"last seen {wait.last.status} ({_percent(wait.last)})" if wait.last else "never seen"
        video_id = wait.last.id if wait.last else None
        message = f"The deadline passed before the video was finished ({status})"
        advice = "It goes on at the gateway: run the task again to go on waiting, or give it a longer timeout."
        return Ended("timed_out", wait.last, errors.WaitTimeoutError(message, video_id=video_id, next_step=advice))
    # The last poll happens at the deadline, not a poll interval after it.
    return PollAgain(wait, min(delay, max(wait.deadline - now, 0.0)))


def log_line(wait: Wait, seen: Video | errors.WisdomGateError, now: float) -> tuple[int, str] | None:
    """Return what a poll brought that the one before had not: log level and line. None if nothing changed."""
    if isinstance(seen, errors.WisdomGateError):
        return logging.WARNING, f"A poll failed: {seen}"
    last = wait.last
    if last and (last.status, last.progress) == (seen.status, seen.progress):
        return None
    line = printable(f"Video {seen.id} is {seen.status} ({_percent(seen)}{_to_go(wait, seen, now)})")
    if seen.is_known_word or (last and last.status == seen.status):
        return logging.INFO, line
    return logging.WARNING, f"{line}: a status word that is not known; waiting on"


def _percent(video: Video) -> str:
    return "progress unknown" if video.progress is None else f"{video.progress:.0f}%"


def _to_go(wait: Wait, video: Video, now: float) -> str:
    rest = rest_of(_age(wait, video, now), video.progress)
    if rest is None or video.progress == 1.0:  # which may be a fraction: all of it
        return ""
    return f", about {rest:.0f} s to go"


# ---- when to poll next: the gateway's ``progress`` only moves a poll within its bounds

# All found with benchmarks/schedule_simulation.py, as parts of poll_interval, the longest delay.
# Without a progress, these are the shortest delays.
WITHOUT_PROGRESS = 2 / 3
# Early polls are mostly in vain: hardly a video is ready at once. After five poll intervals the delay is the shortest.
SHORTER_PER_AGE = 1 / 15
DELAY_PER_AGE = 1 / 20

# With a progress, so much of the estimated rest passes before the next poll, and never less than SHORTEST.
PART_OF_REST = 0.3
# A video that is not finished when its progress promised it may take long: 99% can last for an hour.
PART_OF_OVERDUE = 1 / 2
SHORTEST = 1 / 10


def poll_delay(age: float, poll_interval: float, progress: float | None, jitter: float, overdue: float = 0.0) -> float:
    """Return the seconds until the next poll, at most ``poll_interval`` give or take a tenth.

    All of it at first, falling to two thirds and then growing with the age of the job; as little as a tenth if the
    progress shows that the video is about to be finished.

    :param age: seconds since the video was asked for, or the wait began.
    :param progress: what the gateway reports, 0 to 100, None if it reports none.
    :param jitter: a random number from 0 to 1, so that many waits do not poll at the same moment.
    :param overdue: for how many seconds the video should have been finished, by an earlier progress.
    """
    wanted, shortest = max(poll_interval - age * SHORTER_PER_AGE, age * DELAY_PER_AGE), WITHOUT_PROGRESS
    if (rest := rest_of(age, progress)) is not None:
        wanted, shortest = max(rest * PART_OF_REST, overdue * PART_OF_OVERDUE), SHORTEST
    return min(max(wanted, poll_interval * shortest), poll_interval) * (0.9 + 0.2 * jitter)


def rest_of(age: float, progress: float | None) -> float | None:
    """Return in how many seconds a video should be finished, None if its progress does not show it."""
    return age * (100 - progress) / progress if progress is not None and 0 < progress < 100 else None


# ---- the one event of a wait, which crosses Airflow's database, and what a task makes of it

EVENT_VERSION = 1


def event_of(video_id: str, end: Ended, claim: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the one event of a wait: plain JSON types, and all that the task needs to continue.

    :param claim: the trigger's, unchanged: the resumed operator is a new object.
    """
    return {
        "version": EVENT_VERSION,
        "video_id": video_id,
        "claim": None if claim is None else dict(claim),
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
    if end.error is None:
        raise errors.WisdomGateError("The wait ended without a video and without a reason.")
    raise as_poll_error(end.error) if end.outcome == "refused" else end.error
