"""How gateways of the family differ on the wire, as data: read in their sources, written anew. Decides nothing.

The first is WisdomGate as documented, and the base of all others. What a dialect does not say is as there; the key, the
rate limit and the faults on request are the sandbox's own in every dialect.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from airflow_provider_wisdomgate.sandbox.replies import ERRORS, NOT_READY, Reply, error_body

Shape = Callable[[int, str, str | None, str | None], Mapping[str, Any]]


def _openai(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    kind, usual_code, _ = ERRORS.get(status, ("server_error", "unknown", ""))
    return error_body(kind, usual_code if code is None else code, message, param)


def _detail(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"detail": message}


def _task(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"code": code or "invalid_request", "message": message, "data": None}


def _bifrost(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"is_bifrost_error": False, "status_code": status, "error": {"message": message}}


def _vllm(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"error": {"message": message, "type": "Not Found" if status == 404 else "Bad Request", "code": status}}


def _litellm(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"error": {"message": f"litellm.Error: {message}", "type": None, "param": None, "code": str(status)}}


def _litellm_id(name: str) -> str:
    text = f"litellm:custom_llm_provider:openai;model_id:any;video_id:video_{name}"
    return f"video_{base64.b64encode(text.encode()).decode()}"


def _aisix_id(name: str) -> str:
    return base64.urlsafe_b64encode(f"entry:YW55:{name}".encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Refusal:
    """How something is refused. ``body`` is sent as it is; without it the dialect's shape is filled."""

    status: int
    message: str | None = None
    code: str | None = None
    body: Mapping[str, Any] | str | None = None
    media_type: str = "application/json"


# What there is to refuse, at WisdomGate. A dialect that names list, delete, remix or variant refuses these, too.
REFUSALS: Mapping[str, Refusal] = {
    "create": Refusal(400),
    "unknown": Refusal(404),
    "unknown content": Refusal(404),
    "unready": Refusal(200, body=NOT_READY),
    "failed": Refusal(400, "The video failed; there is no content.", "video_failed"),
    "expired": Refusal(404, "The video has expired; its content is gone.", "video_expired"),
    "route": Refusal(404, code="invalid_url"),
    "method": Refusal(405),
}
CONTENT = ("unknown content", "unready", "failed", "expired")
NO_ROUTE = Refusal(404, body={"detail": "Not Found"})


@dataclass(frozen=True)
class Dialect:
    """One gateway's way to say it; ``source`` is where that was read."""

    source: str
    words: Mapping[str, str] = field(default_factory=dict)  # for the sandbox's words of a status
    new_id: Callable[[str], str] = "video_{}".format  # of 32 hexadecimal digits
    has_task_id: bool = False
    leaves_out: frozenset[str] = frozenset()
    leaves_out_empty: bool = False
    shape: Shape = _openai
    content_shape: Shape | None = None
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    takes: str | None = None  # "form" or "json": no other create
    failed_status: int = 200  # of a poll of a failed video
    redirects: bool = False
    ranges: bool = True
    variants: bool = True
    deleted_as_object: bool = False

    def tell(self, video: Mapping[str, Any]) -> dict[str, Any]:
        """Say a video object as this gateway does."""
        told = {name: value for name, value in video.items() if name not in self.leaves_out}
        if self.leaves_out_empty:
            told = {name: value for name, value in told.items() if value is not None}
        return {**told, "status": self.words.get(told["status"], told["status"])}

    def offers(self, call: str) -> bool:
        return call not in self.refusals

    def refuse(self, what: str, message: str = "", *, code: str | None = None, param: str | None = None) -> Response:
        """Answer with a refusal; what it does not say itself comes from the arguments."""
        refusal = self.refusals.get(what) or REFUSALS[what]
        shape = self.content_shape if what in CONTENT and self.content_shape else self.shape
        body = refusal.body
        if body is None:
            body = shape(refusal.status, refusal.message or message, refusal.code or code, param)
        return Reply(refusal.status, body, media_type=refusal.media_type).response()


IN_PROGRESS = {"processing": "in_progress"}
_FASTAPI = "Generation is still in-progress"
DIALECTS: Mapping[str, Dialect] = {
    "wisdomgate": Dialect("WisdomGate's documentation"),
    "openai": Dialect(
        "OpenAI's reference and openai-python 3.57.0; the service itself was switched off in September 2026",
        words=IN_PROGRESS,
        refusals={"unready": Refusal(404, "Video is not ready yet, use GET /v1/videos/{video_id} to check status.")},
    ),
    "new-api": Dialect(
        "QuantumNous/new-api: controller/video_proxy.go at 05393ffc, relay/relay_task.go at 00fca48c, "
        "router/video-router.go at 01f6839b, dto/openai_video.go at 705748d8",
        words=IN_PROGRESS,
        new_id="task_{}".format,
        has_task_id=True,
        leaves_out=frozenset({"prompt"}),
        leaves_out_empty=True,
        shape=_task,
        content_shape=_openai,
        refusals={
            "unknown": Refusal(400, "task_not_exist", "task_not_exist"),
            "unknown content": Refusal(404, "Task not found"),
            "unready": Refusal(400, "Task is not completed yet, current status: IN_PROGRESS"),
            "failed": Refusal(400, "Task is not completed yet, current status: FAILURE"),
            "expired": Refusal(502, "Upstream service returned status 404"),
            "list": Refusal(404, body=_openai(404, "Invalid URL (GET /v1/videos)", "", "")),
            "delete": Refusal(404, body=_openai(404, "Invalid URL (DELETE /v1/videos)", "", "")),
        },
        variants=False,
    ),
    "litellm": Dialect(
        "litellm 1.108.7: proxy/video_endpoints/endpoints.py, types/videos/utils.py, and what it answered here",
        words=IN_PROGRESS,
        new_id=_litellm_id,
        leaves_out=frozenset({"prompt"}),
        shape=_litellm,
        refusals={
            "unknown": Refusal(500),
            # It hands on whatever its upstream answered with 200, under the label of a video.
            "unready": Refusal(200, body=NOT_READY, media_type="video/mp4"),
            "list": Refusal(400, "LLM Provider NOT provided. Pass in the LLM provider you are trying to call."),
            "delete": Refusal(405, body={"detail": "Method Not Allowed"}),
        },
        ranges=False,
        variants=False,
    ),
    "sglang": Dialect(
        "sglang 0.5.23: multimodal_gen/runtime/entrypoints/openai/video_api.py, protocol.py",
        words=IN_PROGRESS,
        new_id="{}".format,
        leaves_out=frozenset({"prompt"}),
        shape=_detail,
        refusals={
            "unready": Refusal(404, _FASTAPI),
            "failed": Refusal(404, "Video variant None not found"),
            "remix": NO_ROUTE,
            "variant": Refusal(404, "Video variant not found"),
        },
        deleted_as_object=True,
    ),
    "vllm-omni": Dialect(
        "vllm-omni 0.30.0: entrypoints/openai/api_server.py, video/generation/helpers.py, protocol/videos.py; "
        "its errors have vLLM's own shape",
        words=IN_PROGRESS,
        new_id="video_gen_{}".format,
        shape=_vllm,
        refusals={
            "unready": Refusal(404, _FASTAPI),
            "failed": Refusal(422, "Video generation failed. Check job status for error details."),
            "remix": Refusal(404, "Not Found"),
        },
        takes="form",
        failed_status=500,
        variants=False,
    ),
    "bifrost": Dialect(
        "maximhq/bifrost: transports/bifrost-http/handlers/inference.go at c6e2f034",
        words=IN_PROGRESS,
        new_id="video_{}:openai".format,
        shape=_bifrost,
        refusals={"list": Refusal(400, "provider query parameter is required")},
        takes="json",
        ranges=False,
    ),
    "aisix": Dialect(
        "api7/aisix: crates/aisix-proxy/src/videos.rs at 00b4f88b; what an unknown route answers is axum's default",
        words=IN_PROGRESS,
        new_id=_aisix_id,
        leaves_out=frozenset({"prompt", "completed_at", "expires_at", "remixed_from_video_id"}),
        leaves_out_empty=True,
        refusals={
            "unready": Refusal(404, "The video is not ready."),
            "list": Refusal(405, body=""),
            "delete": Refusal(405, body=""),
            "remix": Refusal(404, body=""),
        },
        takes="json",
        redirects=True,
        variants=False,
    ),
}
