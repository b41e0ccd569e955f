"""Ways to treat a connection badly that frameworks forbid: close it mid-reply, never answer. Knows no videos."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

SERVER = "wisdomgate-sandbox (a local test double: no gateway, makes no AI video)"
REQUEST_ID_HEADER = "X-Oneapi-Request-Id"
# Keys of the ASGI scope.
REQUEST_ID = "wisdomgate_sandbox.request_id"
_TRANSPORT = "wisdomgate_sandbox.transport"


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the TCP transport handed to the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[_TRANSPORT] = self.transport
            await app(scope, receive, send)

        self.app = with_transport


def transport_of(scope: Scope) -> asyncio.Transport:
    return cast(asyncio.Transport, scope[_TRANSPORT])


async def until_gone(receive: Receive) -> None:
    """Wait for the client to leave (or for our own close to be through: uvicorn logs an unfinished reply otherwise)."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Hang:
    """Never answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await until_gone(receive)


class Drop:
    """Closes the connection without a reply."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport_of(scope).close()
        await until_gone(receive)
