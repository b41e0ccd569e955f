"""What all waits on one connection share in one event loop: a client, a budget, and the look at a same video.

The first wait opens the client, the last one closes it; nothing is shared across event loops. However many videos
are waited for, that is one connection look-up, one TLS context and one pool.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate import protocol
from airflow_provider_wisdomgate.client import AsyncClient
from airflow_provider_wisdomgate.connection import read_settings_async
from airflow_provider_wisdomgate.pacing import Budget
from airflow_provider_wisdomgate.replies import Video
from airflow_provider_wisdomgate.waiting import ONCE

# After so many seconds newcomers open a client of their own, so that a changed key is taken up.
CLIENT_IS_FRESH = 300.0
# Waits whose deadline is this near, in seconds, come first when the budget is tight.
URGENT = 60.0


class Turns:
    """Lets looks go as the budget allows: those near their deadline first, then whoever has waited longest."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._dispatcher: asyncio.Task[None] | None = None

    async def next(self, deadline: float) -> None:
        """Return when it is this look's turn. ``deadline`` is epoch seconds."""
        now = time.time()
        if not self._waiting and self.budget.is_free(now):
            self.budget.spend(now)
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline - now > URGENT, next(self._order), turn))
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = asyncio.create_task(self._dispatch())
        await turn

    async def _dispatch(self) -> None:
        while self._waiting:
            if (delay := self.budget.free_at - time.time()) > 0:
                await asyncio.sleep(delay)
                continue
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():  # a cancelled wait leaves its turn to the next
                self.budget.spend(time.time())
                turn.set_result(None)


@dataclass
class Lookout:
    """An open client of one connection, and who uses it."""

    conn_id: str
    turns: Turns
    opening: asyncio.Task[AsyncClient] | None = None
    born: float = field(default_factory=time.monotonic)
    watchers: Counter[str] = field(default_factory=Counter)
    shared: dict[str, tuple[float, asyncio.Task[Video]]] = field(default_factory=dict)

    async def look(self, video_id: str, deadline: float, fresh_for: float) -> Video:
        """Look at a video once, within the budget.

        :param fresh_for: seconds for which a look of another wait for the same video serves this one, too.
        :raises WisdomGateError: the typed error of the look.
        """
        if self.watchers[video_id] == 1:
            return await self._send(video_id, deadline)
        sent, task = self.shared.get(video_id, (0.0, None))
        if task is None or (task.done() and time.monotonic() - sent > fresh_for):
            task = asyncio.create_task(self._send(video_id, deadline))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self.shared[video_id] = (time.monotonic(), task)
        return await asyncio.shield(task)  # a cancelled wait does not cancel its siblings' look

    async def _send(self, video_id: str, deadline: float) -> Video:
        client = await self.client()
        await self.turns.next(deadline)
        budget = self.turns.budget
        try:
            video = await client.send(protocol.get_video(video_id), ONCE)
        except errors.RateLimitedError as error:
            budget.limited(time.time(), error.retry_after, random.random())
            raise
        budget.succeeded()
        return video

    async def client(self) -> AsyncClient:
        """Return the open client; one that failed to open is tried again by the next look."""
        opening = self.opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self.opening = asyncio.create_task(self._open())
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(opening)

    async def _open(self) -> AsyncClient:
        settings = await read_settings_async(self.conn_id)
        self.turns.budget.requests_per_minute = settings.requests_per_minute
        return await AsyncClient(settings).__aenter__()

    async def close(self) -> None:
        """Close what is open. No look is under way: the last wait is over."""
        for _, task in self.shared.values():
            task.cancel()
        if self.opening is None:
            return
        self.opening.cancel()
        with suppress(Exception, asyncio.CancelledError):  # it may never have opened
            await (await self.opening).__aexit__()


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
            lookout.shared.pop(video_id, None)
        if not lookout.watchers:
            if post.lookout is lookout:
                post.lookout = None
            await lookout.close()


async def delete_video(video_id: str, conn_id: str) -> None:
    """Delete a video at the gateway, on the client that waits share."""
    async with watching(video_id, conn_id) as lookout:
        await (await lookout.client()).send(protocol.delete_video(video_id))
