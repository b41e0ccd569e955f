"""When to look next, and how many looks a connection may send. Pure: time and chance are arguments.

The gateway's ``progress`` only ever moves a look within its bounds; whether a video is finished, its status says.
"""

from __future__ import annotations

from dataclasses import dataclass

# The shortest pause between looks, as a part of poll_interval, the longest.
FINEST = 1 / 6
# Without a progress to go by, the pause grows with the age of the job.
PAUSE_PER_AGE = 1 / 10
# With one, so much of the estimated rest passes before the next look.
PART_OF_REST = 1 / 2

# A limiter's spacing is this much wider than the limit allows, for clocks and jitter on the way.
MARGIN = 1.03
FIRST_BACKOFF = 2.0
LONGEST_BACKOFF = 120.0


def pause(age: float, poll_interval: float, progress: float | None, jitter: float) -> float:
    """Return the seconds until the next look, from a sixth of ``poll_interval`` to all of it.

    :param age: seconds since the video was asked for, or the wait began.
    :param progress: what the gateway says, 0 to 100, None where it says nothing.
    :param jitter: a random number from 0 to 1, so that siblings do not march in step.
    """
    wanted = age * PAUSE_PER_AGE
    if progress is not None and 0 < progress < 100:
        wanted = age * (100 - progress) / progress * PART_OF_REST
    return min(max(wanted, poll_interval * FINEST), poll_interval) * (0.9 + 0.2 * jitter)


@dataclass
class Budget:
    """The looks of one connection: evenly spaced below the cap, all stopped by a 429, recovering step by step.

    :param requests_per_minute: the cap, None for none.
    """

    requests_per_minute: float | None = None
    free_at: float = 0.0
    backoff: float = 0.0
    slowed: float = 0.0

    @property
    def spacing(self) -> float:
        """Seconds between two looks."""
        capped = 60.0 / self.requests_per_minute * MARGIN if self.requests_per_minute else 0.0
        return max(capped, self.slowed)

    def is_free(self, now: float) -> bool:
        return now >= self.free_at

    def spend(self, now: float) -> None:
        """Count a look that is sent now."""
        self.free_at = max(self.free_at, now + self.spacing)

    def succeeded(self) -> None:
        """Recover from a 429: a quarter of the slowness goes with each look that is answered."""
        self.backoff = 0.0
        self.slowed = self.slowed * 0.75 if self.slowed > 0.01 else 0.0

    def limited(self, now: float, retry_after: float | None, jitter: float) -> float:
        """Stop all looks after a 429, for as long as the gateway says or ever longer; returns the seconds."""
        self.backoff = min(max(2 * self.backoff, FIRST_BACKOFF), LONGEST_BACKOFF)
        stop = retry_after if retry_after is not None else self.backoff * (0.5 + 0.5 * jitter)
        self.slowed = min(max(2 * self.slowed, 0.1), 10.0)
        self.free_at = max(self.free_at, now + stop)
        return stop
