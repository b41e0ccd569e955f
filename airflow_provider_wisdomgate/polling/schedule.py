"""When to look next, and how many looks a connection may send. Pure: time and chance are arguments.

The gateway's ``progress`` only ever moves a look within its bounds; whether a video is finished, its status says.
"""

from __future__ import annotations

from dataclasses import dataclass

# All found with benchmarks/pacing_simulation.py, as parts of poll_interval, the longest pause.
# Nothing is ready before the first look; without a progress to go by, these are the finest steps, too.
BLIND = 2 / 3
PAUSE_PER_AGE = 1 / 20
# With a progress, so much of the estimated rest passes before the next look, in steps no finer than this.
PART_OF_REST = 0.35
FINEST = 1 / 10

# A limiter's spacing is this much wider than the limit allows, for clocks and jitter on the way.
MARGIN = 1.03
FIRST_BACKOFF = 2.0
LONGEST_BACKOFF = 120.0


def pause(age: float, poll_interval: float, progress: float | None, jitter: float) -> float:
    """Return the seconds until the next look, at most ``poll_interval`` give or take a tenth.

    Two thirds of it at first, growing with the age of the job; as little as a tenth where the progress says that
    the video is about to be finished.

    :param age: seconds since the video was asked for, or the wait began.
    :param progress: what the gateway says, 0 to 100, None where it says nothing.
    :param jitter: a random number from 0 to 1, so that siblings do not march in step.
    """
    wanted, finest = age * PAUSE_PER_AGE, BLIND
    if progress is not None and 0 < progress < 100:
        wanted, finest = age * (100 - progress) / progress * PART_OF_REST, FINEST
    return min(max(wanted, poll_interval * finest), poll_interval) * (0.9 + 0.2 * jitter)


@dataclass
class Budget:
    """The looks of one connection: evenly spaced below the cap, all stopped by a 429, recovering step by step.

    Times are seconds of any clock that never goes back.

    :param requests_per_minute: the cap, None for none.
    """

    requests_per_minute: float | None = None
    free_at: float = 0.0
    backoff: float = 0.0
    slowed: float = 0.0
    limited_at: float = float("-inf")

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

    def succeeded(self, sent: float) -> None:
        """Recover from a 429: a quarter of the slowness goes with each look that is answered.

        :param sent: when the look went out; of one before the last 429 nothing is learnt.
        """
        if self.slowed and sent > self.limited_at:
            self.backoff = 0.0
            self.slowed = self.slowed * 0.75 if self.slowed > 0.01 else 0.0

    def limited(self, sent: float, now: float, retry_after: float | None, jitter: float) -> None:
        """Stop all looks after a 429, for as long as the gateway says or ever longer.

        :param sent: when the look went out. Those that were under way together are one 429, not many.
        """
        if sent > self.limited_at:
            self.backoff = min(max(2 * self.backoff, FIRST_BACKOFF), LONGEST_BACKOFF)
            self.slowed = min(max(2 * self.slowed, 0.1), 10.0)
            self.limited_at = now
        stop = retry_after if retry_after is not None else self.backoff * (0.5 + 0.5 * jitter)
        self.free_at = max(self.free_at, now + stop)
