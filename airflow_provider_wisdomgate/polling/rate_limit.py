"""How fast one connection may poll, and when it goes on after a 429. Pure: time and chance are arguments."""

from __future__ import annotations

from dataclasses import dataclass

# A limiter's spacing is this much wider than the limit allows, for clocks and jitter on the way.
MARGIN = 1.03
FIRST_BACKOFF = 2.0
LONGEST_BACKOFF = 120.0
# One answer stops all waits of a connection: for so long at most, whatever it asks for.
LONGEST_STOP = 300.0


@dataclass
class RateLimit:
    """The polls of one connection: evenly spaced below the cap, all stopped by a 429, recovering step by step.

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
        """Seconds between two polls."""
        capped = 60.0 / self.requests_per_minute * MARGIN if self.requests_per_minute else 0.0
        return max(capped, self.slowed)

    def is_free(self, now: float) -> bool:
        return now >= self.free_at

    def take(self, now: float) -> None:
        """Count a poll that is sent now."""
        self.free_at = max(self.free_at, now + self.spacing)

    def succeeded(self, sent: float) -> None:
        """Recover from a 429: a quarter of the slowness goes with each poll that is answered.

        :param sent: when the poll was sent; of one before the last 429 nothing is learnt.
        """
        if self.slowed and sent > self.limited_at:
            self.backoff = 0.0
            self.slowed = self.slowed * 0.75 if self.slowed > 0.01 else 0.0

    def rate_limited(self, sent: float, now: float, retry_after: float | None, jitter: float) -> None:
        """Stop all polls after a 429, for as long as the gateway asks or ever longer.

        :param sent: when the poll was sent. Those that were under way together are one 429, not many.
        """
        if sent > self.limited_at:
            self.backoff = min(max(2 * self.backoff, FIRST_BACKOFF), LONGEST_BACKOFF)
            self.slowed = min(max(2 * self.slowed, 0.1), 10.0)
            self.limited_at = now
        stop = self.backoff * (0.5 + 0.5 * jitter) if retry_after is None else min(retry_after, LONGEST_STOP)
        self.free_at = max(self.free_at, now + stop)
