"""Whose poll goes next, when many waits share one rate limit in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from airflow_provider_wisdomgate.polling.rate_limit import RateLimit

# Polls whose time runs out within so many seconds come first when the rate limit is tight.
URGENT = 60.0

_Queue = OrderedDict[asyncio.Future[None], float]


class RateLimiter:
    """Lets polls go as the rate limit allows: first in, first out, but those whose time runs out overtake.

    Of two polls in a row at most one has overtaken, so that none waits for ever.
    """

    def __init__(self, rate_limit: RateLimit) -> None:
        self.rate_limit = rate_limit
        self._waiting: _Queue = OrderedDict()
        self._urgent: _Queue = OrderedDict()
        self._has_overtaken = False
        self._sorted_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, due: float) -> None:
        """Return when this poll may be sent.

        :param due: epoch seconds when the poll comes too late.

        At that moment it may, whatever the limit is: a wait that is over polls once more before it gives up.
        """
        if not self._waiting and not self._urgent and self.rate_limit.is_free(now := time.monotonic()):
            self.rate_limit.take(now)
            return
        place = asyncio.get_running_loop().create_future()
        (self._urgent if due - time.time() < URGENT else self._waiting)[place] = due
        self._set_timer()
        try:
            async with asyncio.timeout(max(due - time.time(), 0.0)):
                await place
        except TimeoutError:
            self.rate_limit.take(time.monotonic())
        finally:  # a cancelled wait leaves its place to the next
            self._waiting.pop(place, None)
            self._urgent.pop(place, None)
            self._set_timer()

    def _set_timer(self) -> None:
        is_empty = not self._waiting and not self._urgent
        if is_empty and self._timer:
            self._timer.cancel()
            self._timer = None
        elif not is_empty and not self._timer:
            delay = max(self.rate_limit.free_at - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._release_next)

    def _release_next(self) -> None:
        self._timer = None
        now = time.monotonic()
        if self.rate_limit.is_free(now):  # a 429 may have come meanwhile
            self._sort(now)
            overtakes = bool(self._urgent) and not (self._has_overtaken and self._waiting)
            place, _ = (self._urgent if overtakes else self._waiting).popitem(last=False)
            self._has_overtaken = overtakes
            if not place.done():
                self.rate_limit.take(now)
                place.set_result(None)
        self._set_timer()

    def _sort(self, now: float) -> None:
        """Move those that have become urgent; every other second, since it reads all of it."""
        if now - self._sorted_at < 2.0:
            return
        self._sorted_at, limit = now, time.time() + URGENT
        for place in [place for place, due in self._waiting.items() if due < limit]:
            self._urgent[place] = self._waiting.pop(place)
