"""The sandbox's controls over HTTP, for one in another process. They need no key and are never counted."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_wisdomgate.sandbox.app import GatewayState
from airflow_provider_wisdomgate.sandbox.replies import error
from airflow_provider_wisdomgate.sandbox.videos import Store


def videos_of(store: Store) -> list[dict[str, object]]:
    """List the videos with what was sent to make them in `fields` (of an upload: name, type, size and hash)."""
    return [{**video.as_object(), "fields": dict(video.create_request.fields)} for video in store.all()]


def routes(gateway: GatewayState) -> list[Route]:
    """Build the /_sandbox routes."""

    async def counts(request: Request) -> Response:
        return JSONResponse(gateway.store.counts())

    async def videos(request: Request) -> Response:
        return JSONResponse(videos_of(gateway.store))

    async def requests(request: Request) -> Response:
        return JSONResponse(gateway.store.requests())

    async def act(request: Request) -> Response:
        try:
            _act(gateway, request.path_params["action"], dict(request.query_params))
        except (KeyError, TypeError, ValueError) as problem:
            return error(400, f"bad control: {problem!r}")
        return JSONResponse({"ok": True})

    return [
        Route("/_sandbox/counts", counts),
        Route("/_sandbox/videos", videos),
        Route("/_sandbox/requests", requests),
        Route("/_sandbox/{action}", act, methods=["POST"]),
    ]


def _act(gateway: GatewayState, action: str, given: dict[str, str]) -> None:
    if action == "reset":
        gateway.store.reset()
        gateway.outages.reset()
    elif action == "down":
        gateway.outages.down(float(given["seconds"]), given.get("method"))
    elif action == "burst":
        more = {name: given.get(name) for name in ("retry_after", "code", "method")}
        gateway.outages.burst(int(given["status"]), float(given["seconds"]), **more)
    elif action == "limit":
        limit = given.get("requests_per_minute")
        gateway.outages.limit(int(limit) if limit else None)
    else:
        raise ValueError(f"unknown action {action!r}; known: reset down burst limit")
