"""The first stage of every request: recorded, counted, refused or let in. Never makes or delivers a video."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_wisdomgate.sandbox.app import GatewayState
from airflow_provider_wisdomgate.sandbox.connections import REQUEST_ID, REQUEST_ID_HEADER, SERVER, Drop
from airflow_provider_wisdomgate.sandbox.replies import error

log = logging.getLogger("airflow_provider_wisdomgate.sandbox")
# (method, path) -> what is counted when such a request arrives, whatever becomes of it
ASKED = (
    ("POST", re.compile(r"/v1/videos"), "create_requests"),
    ("GET", re.compile(r"/v1/videos"), "lists"),
    ("GET", re.compile(r"/v1/videos/([^/]+)"), "polls"),
    ("GET", re.compile(r"/v1/videos/[^/]+/content"), "downloads"),
    ("HEAD", re.compile(r"/v1/videos/[^/]+/content"), "heads"),
    ("DELETE", re.compile(r"/v1/videos/[^/]+"), "deletes"),
    ("POST", re.compile(r"/v1/videos/[^/]+/remix"), "remix_requests"),
    ("GET", re.compile(r"/v1/users/me/balance"), "balance"),
    ("GET", re.compile(r"/v1/models"), "models"),
    ("GET", re.compile(r"/signed/[^/]+"), "storage_downloads"),
)


class Middleware:
    """One for both ports: `apps` maps a port to the application behind it."""

    def __init__(self, gateway: GatewayState, apps: dict[int, ASGIApp]) -> None:
        self.gateway, self.apps = gateway, apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Routed on the raw path: an id that the client did not percent-encode must not be found by luck.
        path, prefix = scope["raw_path"].decode("ascii", "replace"), self.gateway.dialect.prefix
        scope["path"] = path.removeprefix(prefix) if path.startswith((prefix, "/_")) else f"/no-route{path}"
        scope[REQUEST_ID] = time.strftime("%Y%m%d%H%M%S") + uuid.uuid4().hex[:16]
        app = self.apps[scope["server"][1]]
        if scope["path"].startswith("/_sandbox/"):
            await self._serve(app, scope, receive, send)
        elif self.gateway.outages.is_down(scope["method"]):
            self.gateway.store.count("refused_down")
            await Drop()(scope, receive, send)
        else:
            self._note(scope)
            self.gateway.store.enter(scope[REQUEST_ID])
            try:
                # One turn of the loop, so that requests that arrived together are seen in flight together.
                await asyncio.sleep(0)
                await self._serve(self._refusal(scope) or app, scope, receive, send)
            finally:
                self.gateway.store.leave(scope[REQUEST_ID])

    async def _serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def signed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({"Server": SERVER, REQUEST_ID_HEADER: scope[REQUEST_ID]})
            await send(message)

        try:
            await app(scope, receive, signed_send)
        except Exception:
            # uvicorn's own log is silenced (a dropped connection is no error here), so a bug of ours is logged here.
            log.exception("The sandbox failed at %s %s", scope["method"], scope["path"])

    def _note(self, scope: Scope) -> None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        for asked_method, pattern, name in ASKED:
            if asked_method == method and (match := pattern.fullmatch(path)):
                self.gateway.store.count(name)
                if name == "polls":
                    self.gateway.store.polled(unquote(match[1]))
        query = scope["query_string"].decode("ascii", "replace")
        self.gateway.store.record(
            {
                "time": time.time(),
                "port": scope["server"][1],
                "method": method,
                "path": f"{path}?{query}" if query else path,
                "authorization": "authorization" in headers,
                "headers": {name: value for name, value in headers.items() if name != "authorization"},
                "request_id": scope[REQUEST_ID],
            }
        )

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """Answer a /v1 request that is not let in: a burst, a wrong key, too many a minute."""
        if not scope["path"].startswith("/v1"):
            return None
        store, outages = self.gateway.store, self.gateway.outages
        if burst := outages.current_burst(scope["method"]):
            store.count("burst_replies")
            reply = error(burst.status, code=burst.code)
            if burst.retry_after is not None:
                reply.headers["Retry-After"] = burst.retry_after
            return reply
        given = Headers(scope=scope).get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.gateway.api_key}".encode()):
            store.count("unauthorized")
            return error(401)
        wait = outages.admit()
        if wait is None:
            return None
        store.count("refused_429")
        reply = error(429)
        reply.headers["Retry-After"] = str(wait)
        return reply
