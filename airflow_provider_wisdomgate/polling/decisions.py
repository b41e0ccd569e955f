"""What to do after each poll. Pure: time and chance are arguments.

Rules: a finished video beats a passed deadline. A passing fault never ends a paid wait; too many failed polls in a
row do, and one good poll forgives them. A failed poll is followed by a wait, too. Every end has a name.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video, failure_of
from airflow_provider_wisdomgate.polling.schedule import poll_delay

Outcome = Literal["ready", "failed", "expired", "timed_out", "refused"]

MAX_FAILED_POLLS = 10
# A part of poll_interval; it doubles with each failed poll in a row.
FAILED_POLL_DELAY = 1 / 6
# A video asked for right after its create may not be known everywhere yet [contract: 404, "after a short grace"].
MAX_NOT_FOUND = 3
MAX_UNAUTHORIZED = 2
# A Retry-After is a wish: one answer must not silence a wait for hours.
LONGEST_RETRY_AFTER = 300.0
DAY = 86400.0


@dataclass(frozen=True)
class Wait:
    """A wait so far.

    :param deadline: epoch seconds.
    :param poll_interval: the longest delay between two polls, in seconds.
    :param since: when it began, in epoch seconds; None where nobody knows.
    :param failed_polls: failed polls in a row, ``not_found`` those of them that were a 404, ``unauthorized`` a 401.
    """

    deadline: float
    poll_interval: float
    since: float | None = None
    failed_polls: int = 0
    not_found: int = 0
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
    wait = Wait(wait.deadline, wait.poll_interval, wait.since, last=seen)  # it forgives the failed polls
    if seen.is_done:
        return Ended("ready", seen)  # whatever expires_at says: only its content can prove that it is gone
    if seen.is_failed:
        error = failure_of(seen, may_recreate=True)
        return Ended("expired" if isinstance(error, errors.VideoExpiredError) else "failed", seen, error)
    return _poll_again(wait, poll_delay(_age(wait, seen, now), wait.poll_interval, seen.progress, jitter), now)


def _age(wait: Wait, video: Video, now: float) -> float:
    """Return how old the job is, by the gateway's clock where that makes sense."""
    since = now if wait.since is None else wait.since
    asked = video.created_at
    return now - (asked if asked is not None and now - DAY < asked < since else since)


def first_poll(wait: Wait, now: float, jitter: float) -> PollAgain:
    """Decide when to poll for the first time: a video that was just asked for cannot be finished yet."""
    return PollAgain(wait, min(poll_delay(0.0, wait.poll_interval, None, jitter), max(wait.deadline - now, 0.0)))


def _after_failed_poll(wait: Wait, error: errors.WisdomGateError, now: float, jitter: float) -> PollAgain | Ended:
    if isinstance(error, errors.RateLimitedError):
        longest = max(LONGEST_RETRY_AFTER, wait.poll_interval)
        # Being told to slow down says nothing against the video: this is no failed poll, only the deadline bounds it.
        asked = min(error.retry_after or wait.poll_interval, longest)
        return _poll_again(wait, max(asked, poll_delay(0.0, wait.poll_interval, None, jitter)), now)
    unknown, is_401 = isinstance(error, errors.VideoNotFoundError), isinstance(error, errors.AuthenticationError)
    wait = replace(
        wait,
        failed_polls=wait.failed_polls + 1,
        not_found=wait.not_found + unknown,
        unauthorized=wait.unauthorized + is_401,
    )
    # After one 401 the connection is read again: somebody may have changed the key.
    has_second_chance = unknown or (is_401 and wait.unauthorized < MAX_UNAUTHORIZED)
    is_final = not error.is_transient and not has_second_chance
    # Who has a second chance has it after the last failed poll, too: the error would be final, said by one bad answer.
    is_enough = wait.failed_polls >= MAX_FAILED_POLLS and not has_second_chance
    if is_final or is_enough or wait.not_found >= MAX_NOT_FOUND:
        return Ended("refused", wait.last, error)
    delay = wait.poll_interval * FAILED_POLL_DELAY * 2**wait.failed_polls * (0.9 + 0.2 * jitter)
    asked = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
    return _poll_again(wait, max(asked, min(delay, 4 * wait.poll_interval)), now)


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
    """Say what a poll brought that the one before had not: log level and line. None where nothing changed."""
    if isinstance(seen, errors.WisdomGateError):
        return logging.WARNING, f"A poll failed: {seen}"
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
