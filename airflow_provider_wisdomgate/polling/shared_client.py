"""All waits on one connection in one event loop share a client, a rate limiter, and the poll of a same video.

The first wait opens the client, the last one closes it; nothing is shared across event loops. However many videos
are waited for, that is one lookup of the connection, one TLS context and one pool.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import check_gateway
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.connection import read_settings_async
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.metrics import count
from airflow_provider_wisdomgate.polling.rate_limit import RateLimit
from airflow_provider_wisdomgate.polling.rate_limiter import RateLimiter

# After so many seconds newcomers open a client of their own, so that a changed key is taken up.
CLIENT_IS_FRESH = 300.0
# A key that is refused to thousands of waits is looked up this often.
READ_AGAIN_AFTER = 5.0


@dataclass
class SharedClient:
    """The client that all waits on one connection share, and who uses it. ``waits`` counts them by video id."""

    conn_id: str
    rate_limiter: RateLimiter
    opening: asyncio.Task[AsyncClient] | None = None
    born: float = field(default_factory=time.monotonic)
    waits: Counter[str] = field(default_factory=Counter)
    shared_polls: dict[str, tuple[float, AsyncClient, asyncio.Task[Video]]] = field(default_factory=dict)
    retired: list[AsyncClient] = field(default_factory=list)
    read_again_at: float = float("-inf")

    async def poll(self, video_id: str, due: float, fresh_for: float, base_url: str | None = None) -> Video:
        """Poll a video once, within the rate limit.

        :param due: epoch seconds when the poll comes too late; those near it come first.
        :param fresh_for: seconds for which a poll of another wait for the same video serves this one, too.
        :param base_url: of the gateway that made the video, None if unknown.
        :raises WisdomGateError: the typed error of the poll.
        :raises ConfigurationError: the connection leads to another gateway.
        """
        client = await self.client()
        try:
            check_gateway(base_url, client.settings.base_url, self.conn_id)
        except errors.WrongGatewayError:
            self._read_connection_again(client)
            raise
        if self.waits[video_id] == 1:
            return await self._send(client, video_id, due)
        sent, by, task = self.shared_polls.get(video_id, (0.0, None, None))
        # The answer to an earlier client may be another gateway's.
        if task is None or by is not client or (task.done() and time.monotonic() - sent > fresh_for):
            task = asyncio.create_task(self._send(client, video_id, due))
            task.add_done_callback(_forget_error)
            self.shared_polls[video_id] = (time.monotonic(), client, task)
        return await asyncio.shield(task)  # a cancelled wait does not cancel its siblings' poll

    async def _send(self, client: AsyncClient, video_id: str, due: float) -> Video:
        rate_limit = self.rate_limiter.rate_limit
        await self.rate_limiter.acquire(due)
        sent = time.monotonic()
        count("polls")
        try:
            video = await client.send(routes.get_video(video_id), ONCE)
        except errors.WisdomGateError as error:
            count("failed_polls")
            if isinstance(error, errors.RateLimitedError):
                rate_limit.rate_limited(sent, time.monotonic(), error.retry_after, random.random())
            elif isinstance(error, errors.AuthenticationError):
                self._read_connection_again(client)
            raise
        rate_limit.succeeded(sent)
        return video

    def _read_connection_again(self, client: AsyncClient) -> None:
        """Let the next poll open a client anew: somebody may have changed the key. Others may still use this one."""
        opening = self.opening
        is_open = opening is not None and opening.done() and not opening.cancelled() and not opening.exception()
        is_due = time.monotonic() - self.read_again_at > READ_AGAIN_AFTER
        if opening is not None and is_open and is_due and opening.result() is client:
            self.read_again_at = time.monotonic()
            self.retired.append(client)
            self.opening = None

    async def client(self) -> AsyncClient:
        """Return the open client; one that failed to open is tried again by the next poll."""
        opening = self.opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self.opening = asyncio.create_task(self._open())
            opening.add_done_callback(_forget_error)
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self) -> AsyncClient:
        settings = await read_settings_async(self.conn_id)
        self.rate_limiter.rate_limit.requests_per_minute = settings.requests_per_minute
        return await AsyncClient(settings).__aenter__()

    async def close(self) -> None:
        """Close what is open. The last wait is over: what is still under way was cancelled with it."""
        under_way: list[asyncio.Task[AsyncClient] | asyncio.Task[Video]] = [
            task for _, _, task in self.shared_polls.values()
        ]
        self.shared_polls.clear()
        under_way += [self.opening] if self.opening else []
        for task in under_way:
            task.cancel()
        await asyncio.wait(under_way) if under_way else None
        if self.opening and not self.opening.cancelled() and not self.opening.exception():
            await self.opening.result().__aexit__()
        for client in self.retired:
            await client.__aexit__()


def _forget_error(task: asyncio.Task[Any]) -> None:
    """Take the error of a task whose waits may all have been cancelled, so that asyncio does not complain."""
    task.cancelled() or task.exception()


@dataclass
class _PerConnection:
    """The part of a connection that an event loop keeps between waits: its rate limit outlives its clients."""

    rate_limiter: RateLimiter = field(default_factory=lambda: RateLimiter(RateLimit()))
    client: SharedClient | None = None


_CONNECTIONS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _PerConnection]] = WeakKeyDictionary()


@asynccontextmanager
async def share_client(video_id: str, conn_id: str) -> AsyncIterator[SharedClient]:
    """Share the connection's client while waiting for a video."""
    kept = _CONNECTIONS.setdefault(asyncio.get_running_loop(), {}).setdefault(conn_id, _PerConnection())
    client = kept.client
    if client is None or time.monotonic() - client.born > CLIENT_IS_FRESH:
        client = kept.client = SharedClient(conn_id, kept.rate_limiter)
    client.waits[video_id] += 1
    try:
        yield client
    finally:
        client.waits[video_id] -= 1
        if not client.waits[video_id]:
            del client.waits[video_id]
        if not client.waits:
            if kept.client is client:
                kept.client = None
            await client.close()
        elif video_id not in client.waits and video_id in client.shared_polls:
            client.shared_polls.pop(video_id)[2].cancel()


async def delete_video(video_id: str, conn_id: str, base_url: str | None) -> None:
    """Delete a video at the gateway that made it, on the client that waits share.

    :raises ConfigurationError: the connection leads to another gateway.
    """
    async with share_client(video_id, conn_id) as shared:
        client = await shared.client()
        check_gateway(base_url, client.settings.base_url, conn_id)
        await client.send(routes.delete_video(video_id))
