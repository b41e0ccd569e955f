"""When to poll next. Pure: time and chance are arguments.

The gateway's ``progress`` only ever moves a poll within its bounds; whether a video is finished, its status says.
"""

from __future__ import annotations

# All found with benchmarks/schedule_simulation.py, as parts of poll_interval, the longest delay.
# Without a progress, these are the shortest delays.
WITHOUT_PROGRESS = 2 / 3
# Early polls are mostly in vain: hardly a video is ready at once. After five poll intervals the delay is the shortest.
SHORTER_PER_AGE = 1 / 15
DELAY_PER_AGE = 1 / 20

# With a progress, so much of the estimated rest passes before the next poll, and never less than SHORTEST.
PART_OF_REST = 0.3
SHORTEST = 1 / 10


def poll_delay(age: float, poll_interval: float, progress: float | None, jitter: float) -> float:
    """Return the seconds until the next poll, at most ``poll_interval`` give or take a tenth.

    All of it at first, falling to two thirds and then growing with the age of the job; as little as a tenth where the
    progress says that the video is about to be finished.

    :param age: seconds since the video was asked for, or the wait began.
    :param progress: what the gateway says, 0 to 100, None where it says nothing.
    :param jitter: a random number from 0 to 1, so that many waits do not poll at the same moment.
    """
    wanted, shortest = max(poll_interval - age * SHORTER_PER_AGE, age * DELAY_PER_AGE), WITHOUT_PROGRESS
    if progress is not None and 0 < progress < 100:
        wanted, shortest = age * (100 - progress) / progress * PART_OF_REST, SHORTEST
    return min(max(wanted, poll_interval * shortest), poll_interval) * (0.9 + 0.2 * jitter)
