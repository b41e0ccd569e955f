"""The gateway's routes. Keeps no state, and never answers a /v1 request that `middleware.py` did not let in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from airflow_provider_wisdomgate.sandbox.connections import Drop, Hang
from airflow_provider_wisdomgate.sandbox.content import DELIVERY_FAULTS, STILLS, Delivery, DeliveryFault, clip_of
from airflow_provider_wisdomgate.sandbox.create_request import (
    CreateRequest,
    CreateRequestError,
    read_create_request,
    read_directives,
)
from airflow_provider_wisdomgate.sandbox.dialects import Dialect
from airflow_provider_wisdomgate.sandbox.directives import explain, named
from airflow_provider_wisdomgate.sandbox.outages import Outages
from airflow_provider_wisdomgate.sandbox.replies import ENCODINGS, FIXED, encoded, error
from airflow_provider_wisdomgate.sandbox.request_body import read_fields
from airflow_provider_wisdomgate.sandbox.videos import Store, Video

SLOW_SECONDS = 3.0
CREDIT, PRICE_PER_SECOND = 1000.0, 0.1
MODELS = ("sora-2", "sora-2-pro", "doubao-seedance-2")
ABSURD_TIMES = {"created_at": 0, "completed_at": "yesterday", "expires_at": 3600}
WHAT_THIS_IS = "wisdomgate-sandbox: a local test double. It is no gateway and makes no AI video.\n\n"
# Two at a time: a burst of first downloads must not hold forty half-encoded clips in memory.
_RENDERERS = ThreadPoolExecutor(2, thread_name_prefix="wisdomgate-sandbox-render")


@dataclass(frozen=True)
class GatewayState:
    """What the routes share."""

    store: Store
    outages: Outages
    api_key: str
    storage_url: str
    secret: bytes
    dialect: Dialect

    def signature(self, video_id: str) -> str:
        return hmac.new(self.secret, video_id.encode(), hashlib.sha256).hexdigest()

    def address(self, video_id: str, signature: str | None = None) -> str:
        """Return a clip's address at the storage."""
        signature = self.signature(video_id) if signature is None else signature
        return f"{self.storage_url}/signed/{quote(video_id, safe='')}?signature={quote(signature)}"


def _gateway(request: Request) -> GatewayState:
    gateway = request.app.state.gateway
    assert isinstance(gateway, GatewayState)
    return gateway


def _dialect(request: Request) -> Dialect:
    return _gateway(request).dialect


def _video(request: Request) -> Video:
    video_id = unquote(request.path_params["video_id"])
    video = _gateway(request).store.get(video_id)
    if video is None:
        raise HTTPException(404, f"Video with id {video_id!r} not found.")
    return video


async def _misbehave(fault: str | None, request: Request) -> ASGIApp | None:
    """Answer with a fault that is the same on every route; None means to go on."""
    if fault in FIXED:
        return FIXED[fault].response()
    if fault == "401-quoting":
        return error(401, f"Incorrect API key provided: {request.headers.get('authorization')}")
    if fault == "slow":
        await asyncio.sleep(SLOW_SECONDS)
    endless: dict[str | None, ASGIApp] = {"drop": Drop(), "hang": Hang()}
    return endless.get(fault)


async def create(request: Request) -> ASGIApp:
    dialect = _dialect(request)
    fields = await read_fields(request, dialect.takes)
    if request.headers["content-type"].startswith("application/json"):
        dialect.check_types(fields)
    known = {name: value for name, value in fields.items() if name not in dialect.ignores}
    return await _make(request, read_create_request(known), counted_as="creates")


async def remix(request: Request) -> ASGIApp:
    source = _video(request)
    if not _dialect(request).offers("remix"):
        return _dialect(request).refuse("remix")
    prompt = (await read_fields(request, _dialect(request).takes)).get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise CreateRequestError("prompt", "Missing required parameter: 'prompt'")
    if source.phase(source.age) != "completed":
        return _dialect(request).refuse("create", "Only a completed video can be remixed.")
    old = source.create_request
    create_request = CreateRequest(
        old.model, prompt, old.seconds, old.size, read_directives(prompt), {"prompt": prompt}
    )
    return await _make(request, create_request, counted_as="remixes", remixed_from=source.id)


async def _make(
    request: Request, create_request: CreateRequest, *, counted_as: str, remixed_from: str | None = None
) -> ASGIApp:
    store, dialect = _gateway(request).store, _dialect(request)
    fault = store.next_fault("create", create_request.prompt, create_request)
    if reply := await _misbehave(fault, request):
        return reply
    has_task_id = fault == "task-id" or dialect.has_task_id
    video = store.make(create_request, counted_as=counted_as, remixed_from=remixed_from, task_id=has_task_id)
    if fault == "lost":
        return Drop()
    if fault == "lost-hang":
        return Hang()
    if fault == "lost-504":
        return error(504)
    hidden = {"no-id": {"id"}, "task-id": {"id"}}.get(fault or "", set())
    told = dialect.tell(video.as_object(), str(request.base_url))
    return _tell({name: value for name, value in told.items() if name not in hidden}, fault, dialect.created_status)


def _tell(video: dict[str, Any], fault: str | None, status: int = 200) -> Response:
    if fault == "absurd-times":
        video = {**video, **ABSURD_TIMES}
    response = JSONResponse(video, status)
    return encoded(fault, bytes(response.body), "application/json") if fault in ENCODINGS else response


async def poll(request: Request) -> ASGIApp:
    video = _video(request)
    fault = _gateway(request).store.next_fault("poll", video.id, video.create_request)
    if reply := await _misbehave(fault, request):
        return reply
    dialect = _dialect(request)
    told, status = dialect.tell(video.as_object(), str(request.base_url)), dialect.failed_status
    if told["status"] != "failed" or status == 200:
        return _tell(_with_address(told, video, _gateway(request)), fault)
    return _tell({**told, "error": {**told["error"], "code": status}}, fault, status)


def _with_address(told: dict[str, Any], video: Video, gateway: GatewayState) -> dict[str, Any]:
    name = video.create_request.directives.address
    return told | named(name, gateway.address(video.id)) if name and video.phase(video.age) == "completed" else told


async def content(request: Request) -> ASGIApp:
    """Deliver a video, or answer why not. Faults are used up only once it is ready, and never by HEAD."""
    video, gateway, dialect = _video(request), _gateway(request), _dialect(request)
    state = video.content_state(video.age)
    if state != "ready":
        return dialect.refuse(state)
    variant = request.query_params.get("variant", "video")
    if variant != "video" and not dialect.offers("variant"):
        return dialect.refuse("variant")
    if variant not in ("video", *STILLS) and dialect.variants:
        return dialect.refuse("create", "variant must be video, thumbnail or spritesheet", param="variant")
    fault = gateway.store.next_fault("content", video.id, video.create_request) if request.method == "GET" else None
    if reply := await _misbehave(fault, request):
        return reply
    if fault in ("redirect", "redirect-403") or (fault is None and dialect.redirects):
        signature = None if fault != "redirect-403" else "of something that is not there yet"
        return RedirectResponse(gateway.address(video.id, signature), 302)
    if fault is None and not dialect.ranges:
        fault = "no-range"
    return await _deliver(video, gateway, fault, variant if dialect.variants else "video")


async def _deliver(video: Video, gateway: GatewayState, fault: str | None, variant: str = "video") -> ASGIApp:
    clip = await asyncio.get_running_loop().run_in_executor(_RENDERERS, clip_of, video, fault, variant)
    if fault in ENCODINGS:
        return encoded(fault, b"".join(clip.chunks(0, clip.size)), clip.content_type)
    return Delivery(
        clip, DELIVERY_FAULTS.get(fault or "", DeliveryFault()), partial(gateway.store.count, "downloaded_whole")
    )


async def list_videos(request: Request) -> Response:
    """List newest first, a page of `limit` after the id `after`, as at OpenAI."""
    dialect = _dialect(request)
    if not dialect.offers("list"):
        return dialect.refuse("list")
    videos = _gateway(request).store.all()
    if request.query_params.get("order", "desc") == "desc":
        videos.reverse()
    ids = [video.id for video in videos]
    after, limit = request.query_params.get("after"), request.query_params.get("limit", "20")
    if not re.fullmatch(r"\d{1,3}", limit) or not 1 <= int(limit) <= 100:
        return error(400, "limit must be from 1 to 100", param="limit")
    if after is not None and after not in ids:
        return error(400, f"no video with id {after!r}", param="after")
    start = ids.index(after) + 1 if after is not None else 0
    page = [dialect.tell(video.as_object(), str(request.base_url)) for video in videos[start : start + int(limit)]]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return JSONResponse({"object": "list", "data": page, **ends, "has_more": start + int(limit) < len(ids)})


async def delete(request: Request) -> Response:
    video, dialect = _video(request), _dialect(request)
    if not dialect.offers("delete"):
        return dialect.refuse("delete")
    _gateway(request).store.delete(video.id)
    if dialect.deleted_as_object:
        return JSONResponse({**dialect.tell(video.as_object(), str(request.base_url)), "status": "deleted"})
    return JSONResponse({"id": video.id, "object": "video.deleted", "deleted": True})


async def balance(request: Request) -> Response:
    left = round(CREDIT - PRICE_PER_SECOND * _gateway(request).store.spent_seconds(), 2)
    amounts = {"available_balance": left, "package_balance": 0.0, "cash_balance": left, "token_balance": left}
    return JSONResponse({"object": "user_balance", **amounts, "is_token_unlimited_quota": False})


async def models(request: Request) -> Response:
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "wisdomgate-sandbox"} for name in MODELS]
    return JSONResponse({"object": "list", "data": data})


async def home(request: Request) -> Response:
    return PlainTextResponse(WHAT_THIS_IS + explain() + "\n")


async def signed(request: Request) -> ASGIApp:
    """Serve like an object store: the signature lets in, and a second way to authenticate is refused."""
    video, gateway = _video(request), _gateway(request)
    if "authorization" in request.headers:
        return PlainTextResponse("<Error><Code>InvalidArgument</Code>Only one auth mechanism allowed</Error>", 400)
    if not hmac.compare_digest(
        request.query_params.get("signature", "").encode(), gateway.signature(video.id).encode()
    ):
        return PlainTextResponse("<Error><Code>SignatureDoesNotMatch</Code></Error>", 403)
    fault = gateway.store.next_fault("storage", video.id, video.create_request) if request.method == "GET" else None
    return await _misbehave(fault, request) or await _deliver(video, gateway, fault)


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 404 and "video_id" in request.path_params:
        what = "unknown content" if request.url.path.endswith("/content") else "unknown"
        return _dialect(request).refuse(what, exc.detail)
    what = "route" if exc.status_code == 404 else "method"
    return _dialect(request).refuse(what, f"Invalid URL ({request.method} {request.url.path})")


async def _create_request_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, CreateRequestError)
    return _dialect(request).refuse("create", str(exc), code=exc.code, param=exc.param)


def build(gateway: GatewayState, routes: list[Route]) -> Starlette:
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: _http_error, CreateRequestError: _create_request_error}
    )
    app.state.gateway = gateway
    return app


GATEWAY_ROUTES = [
    Route("/", home),
    Route("/v1/videos", create, methods=["POST"]),
    Route("/v1/videos", list_videos),
    Route("/v1/videos/{video_id}", poll),
    Route("/v1/videos/{video_id}", delete, methods=["DELETE"]),
    Route("/v1/videos/{video_id}/content", content),
    Route("/v1/videos/{video_id}/remix", remix, methods=["POST"]),
    Route("/v1/users/me/balance", balance),
    Route("/v1/models", models),
]
STORAGE_ROUTES = [Route("/signed/{video_id}", signed)]
