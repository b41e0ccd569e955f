"""What all waits on one connection share in one event loop: a client, a budget, and the look at a same video.

The first wait opens the client, the last one closes it; nothing is shared across event loops. However many videos
are waited for, that is one connection look-up, one TLS context and one pool.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.client import AsyncClient
from airflow_provider_wisdomgate.gateway.connection import read_settings_async
from airflow_provider_wisdomgate.gateway.replies import Video
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.polling.schedule import Budget

# After so many seconds newcomers open a client of their own, so that a changed key is taken up.
CLIENT_IS_FRESH = 300.0
# Looks whose time runs out within so many seconds come first when the budget is tight.
URGENT = 60.0
# So many seconds after that a look gives up its place in the line, and the wait can end.
GRACE = 60.0

_Line = OrderedDict[asyncio.Future[None], float]


class Turns:
    """Lets looks go as the budget allows: whoever has waited longest, and before them those whose time runs out.

    Of two turns in a row at most one overtakes, so that nobody starves.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._patient: _Line = OrderedDict()
        self._urgent: _Line = OrderedDict()
        self._overtook = False
        self._sorted_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def next(self, due: float) -> None:
        """Return when it is this look's turn.

        :param due: epoch seconds when the look comes too late.
        :raises RateLimitedError: no turn came until then and a while longer.
        """
        if not self._patient and not self._urgent and self.budget.is_free(now := time.monotonic()):
            self.budget.spend(now)
            return
        turn = asyncio.get_running_loop().create_future()
        (self._urgent if due - time.time() < URGENT else self._patient)[turn] = due
        self._set_timer()
        try:
            async with asyncio.timeout(max(due - time.time(), 0.0) + GRACE):
                await turn
        except TimeoutError:
            raise errors.RateLimitedError("No turn for a look came in time: other waits share its budget") from None
        finally:  # a cancelled wait leaves its turn to the next
            self._patient.pop(turn, None)
            self._urgent.pop(turn, None)
            self._set_timer()

    def _set_timer(self) -> None:
        is_empty = not self._patient and not self._urgent
        if is_empty and self._timer:
            self._timer.cancel()
            self._timer = None
        elif not is_empty and not self._timer:
            delay = max(self.budget.free_at - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._give)

    def _give(self) -> None:
        self._timer = None
        now = time.monotonic()
        if self.budget.is_free(now):  # a 429 may have come meanwhile
            self._sort(now)
            overtakes = bool(self._urgent) and not (self._overtook and self._patient)
            turn, _ = (self._urgent if overtakes else self._patient).popitem(last=False)
            self._overtook = overtakes
            if not turn.done():
                self.budget.spend(now)
                turn.set_result(None)
        self._set_timer()

    def _sort(self, now: float) -> None:
        """Move those that have become urgent in the line; every other second, since it reads all of it."""
        if now - self._sorted_at < 2.0:
            return
        self._sorted_at, limit = now, time.time() + URGENT
        for turn in [turn for turn, due in self._patient.items() if due < limit]:
            self._urgent[turn] = self._patient.pop(turn)


@dataclass
class Lookout:
    """An open client of one connection, and who uses it."""

    conn_id: str
    turns: Turns
    opening: asyncio.Task[AsyncClient] | None = None
    born: float = field(default_factory=time.monotonic)
    watchers: Counter[str] = field(default_factory=Counter)
    shared: dict[str, tuple[float, asyncio.Task[Video]]] = field(default_factory=dict)

    async def look(self, video_id: str, due: float, fresh_for: float) -> Video:
        """Look at a video once, within the budget.

        :param due: epoch seconds when the look comes too late; those near it come first.
        :param fresh_for: seconds for which a look of another wait for the same video serves this one, too.
        :raises WisdomGateError: the typed error of the look.
        """
        if self.watchers[video_id] == 1:
            return await self._send(video_id, due)
        sent, task = self.shared.get(video_id, (0.0, None))
        if task is None or (task.done() and time.monotonic() - sent > fresh_for):
            task = asyncio.create_task(self._send(video_id, due))
            task.add_done_callback(_forget_error)
            self.shared[video_id] = (time.monotonic(), task)
        return await asyncio.shield(task)  # a cancelled wait does not cancel its siblings' look

    async def _send(self, video_id: str, due: float) -> Video:
        client = await self.client()
        budget = self.turns.budget
        await self.turns.next(due)
        sent = time.monotonic()
        try:
            video = await client.send(routes.get_video(video_id), ONCE)
        except errors.RateLimitedError as error:
            budget.limited(sent, time.monotonic(), error.retry_after, random.random())
            raise
        budget.succeeded(sent)
        return video

    async def client(self) -> AsyncClient:
        """Return the open client; one that failed to open is tried again by the next look."""
        opening = self.opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self.opening = asyncio.create_task(self._open())
            opening.add_done_callback(_forget_error)
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self) -> AsyncClient:
        settings = await read_settings_async(self.conn_id)
        self.turns.budget.requests_per_minute = settings.requests_per_minute
        return await AsyncClient(settings).__aenter__()

    async def close(self) -> None:
        """Close what is open. The last wait is over: what is still under way was cancelled with it."""
        under_way: list[asyncio.Task[AsyncClient] | asyncio.Task[Video]] = [task for _, task in self.shared.values()]
        self.shared.clear()
        under_way += [self.opening] if self.opening else []
        for task in under_way:
            task.cancel()
        await asyncio.wait(under_way) if under_way else None
        if self.opening and not self.opening.cancelled() and not self.opening.exception():
            await self.opening.result().__aexit__()


def _forget_error(task: asyncio.Task[AsyncClient] | asyncio.Task[Video]) -> None:
    """Take the error of a task whose waits may all have been cancelled, so that asyncio does not complain."""
    task.cancelled() or task.exception()


@dataclass
class _Post:
    """What is kept of a connection in one event loop between waits: its turns outlive its clients."""

    turns: Turns = field(default_factory=lambda: Turns(Budget()))
    lookout: Lookout | None = None


_POSTS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Post]] = WeakKeyDictionary()


@asynccontextmanager
async def watching(video_id: str, conn_id: str) -> AsyncIterator[Lookout]:
    """Share the connection's lookout while waiting for a video."""
    post = _POSTS.setdefault(asyncio.get_running_loop(), {}).setdefault(conn_id, _Post())
    lookout = post.lookout
    if lookout is None or time.monotonic() - lookout.born > CLIENT_IS_FRESH:
        lookout = post.lookout = Lookout(conn_id, post.turns)
    lookout.watchers[video_id] += 1
    try:
        yield lookout
    finally:
        lookout.watchers[video_id] -= 1
        if not lookout.watchers[video_id]:
            del lookout.watchers[video_id]
        if not lookout.watchers:
            if post.lookout is lookout:
                post.lookout = None
            await lookout.close()
        elif video_id not in lookout.watchers and video_id in lookout.shared:
            lookout.shared.pop(video_id)[1].cancel()


async def delete_video(video_id: str, conn_id: str) -> None:
    """Delete a video at the gateway, on the client that waits share."""
    async with watching(video_id, conn_id) as lookout:
        await (await lookout.client()).send(routes.delete_video(video_id))
