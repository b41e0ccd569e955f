"""How gateways of the family differ on the wire, as data: read in their sources, written anew. Decides nothing.

The first is WisdomGate as documented, and the base of all others. A dialect's missing fields are as there; the key, the
rate limit and the faults on request are the sandbox's own in every dialect.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from airflow_provider_wisdomgate.sandbox.create_request import CreateRequestError
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


def _openrouter(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"error": {"code": status, "message": message}}


def _fastapi(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, Any]:
    return {"detail": [{"loc": ["body", param], "msg": message, "type": "value_error"}]}


def _litellm_id(name: str) -> str:
    text = f"litellm:custom_llm_provider:openai;model_id:any;video_id:video_{name}"
    return f"video_{base64.b64encode(text.encode()).decode()}"


def _aisix_id(name: str) -> str:
    return base64.urlsafe_b64encode(f"entry:YW55:{name}".encode()).decode().rstrip("=")


def _openrouter_job(video: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Shape a job: nothing that was asked for, and what it cost."""
    job = {name: video[name] for name in ("id", "status")} | {"polling_url": f"/api/v1/videos/{video['id']}"}
    if video["error"]:
        return {**job, "error": video["error"]["message"]}
    if video["status"] != "completed":
        return job
    address = f"{url}api/v1/videos/{video['id']}/content?index=0"
    return {**job, "unsigned_urls": [address], "usage": {"cost": 0.1 * int(video["seconds"]), "is_byok": False}}


def _merge_job(video: Mapping[str, Any], url: str) -> dict[str, Any]:
    cost = 0.1 * int(video["seconds"]) if video["status"] == "completed" else None
    return {**video, "cost": cost}


@dataclass(frozen=True)
class Refusal:
    """How something is refused. ``body`` is sent as it is; without it the dialect's shape is filled."""

    status: int
    message: str | None = None
    code: str | None = None
    body: Mapping[str, Any] | str | None = None
    media_type: str = "application/json"


# The requests that WisdomGate refuses. A dialect that names list, delete, remix or variant refuses these, too.
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
    """One gateway's words; ``source`` is where that was read."""

    source: str
    words: Mapping[str, str] = field(default_factory=dict)  # for the sandbox's words of a status
    new_id: Callable[[str], str] = "video_{}".format  # of 32 hexadecimal digits
    has_task_id: bool = False
    leaves_out: frozenset[str] = frozenset()
    leaves_out_empty: bool = False
    shape: Shape = _openai
    content_shape: Shape | None = None
    create_shape: Shape | None = None
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    takes: str | None = None  # "form" or "json": no other create
    types: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict)  # of the fields of a create in JSON
    mistyped: tuple[str | None, str] = (None, "Input should be a valid {wanted}")  # code and message for another type
    ignores: frozenset[str] = frozenset()  # fields of a create that it does not know
    prefix: str = ""  # of all its paths
    created_status: int = 200
    reshape: Callable[[Mapping[str, Any], str], dict[str, Any]] | None = None  # of a video, and the sandbox's URL
    failed_status: int = 200  # of a poll of a failed video
    redirects: bool = False
    ranges: bool = True
    variants: bool = True
    deleted_as_object: bool = False

    def tell(self, video: Mapping[str, Any], url: str) -> dict[str, Any]:
        """Return a video object in this gateway's words.

        :param url: where the sandbox is.
        """
        told = {name: value for name, value in video.items() if name not in self.leaves_out}
        if self.leaves_out_empty:
            told = {name: value for name, value in told.items() if value is not None}
        told = {**told, "status": self.words.get(told["status"], told["status"])}
        return self.reshape(told, url) if self.reshape else told

    def check_types(self, fields: Mapping[str, Any]) -> None:
        """Refuse a field of a create in JSON whose type is not the one that the gateway's source reads.

        :raises CreateRequestError: in the gateway's words.
        """
        code, message = self.mistyped
        for name, wanted in self.types.items():
            value = fields.get(name)
            if value is None or (isinstance(value, wanted) and not isinstance(value, bool)):
                continue
            first = wanted[0] if isinstance(wanted, tuple) else wanted
            got = JSON_TYPES[type(value)]
            kind = "number" if got == "integer" else got  # as Go has it
            raise CreateRequestError(
                name, message.format(name=name, wanted=JSON_TYPES[first], got=got, kind=kind), code
            )

    def offers(self, call: str) -> bool:
        return call not in self.refusals

    def refuse(self, what: str, message: str = "", *, code: str | None = None, param: str | None = None) -> Response:
        """Answer with a refusal; what it leaves out comes from the arguments."""
        refusal = self.refusals.get(what) or REFUSALS[what]
        own = {**dict.fromkeys(CONTENT, self.content_shape), "create": self.create_shape}
        shape = own.get(what) or self.shape
        body = refusal.body
        if body is None:
            body = shape(refusal.status, refusal.message or message, refusal.code or code, param)
        return Reply(refusal.status, body, media_type=refusal.media_type).response()


JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "bool", dict: "object", list: "array"}
IN_PROGRESS = {"processing": "in_progress"}
_FASTAPI = "Generation is still in-progress"
DIALECTS: Mapping[str, Dialect] = {
    "wisdomgate": Dialect("WisdomGate's documentation"),
    "openai": Dialect(
        "OpenAI's reference and openai-python 3.57.0; the service itself was switched off in September 2026",
        words=IN_PROGRESS,
        refusals={"unready": Refusal(404, "Video is not ready yet, use GET /v1/videos/{video_id} to check status.")},
        types={"seconds": str, "size": str, "input_reference": dict},
        mistyped=("invalid_type", "Invalid type for '{name}': expected a {wanted}, but got an {got} instead."),
    ),
    "new-api": Dialect(
        "QuantumNous/new-api: controller/video_proxy.go at 05393ffc, relay/relay_task.go at 00fca48c, "
        "router/video-router.go at 01f6839b, dto/openai_video.go at 705748d8, relay/common/relay_utils.go at 0d158eb9",
        words=IN_PROGRESS,
        new_id="task_{}".format,
        has_task_id=True,
        leaves_out=frozenset({"prompt"}),
        leaves_out_empty=True,
        shape=_task,
        content_shape=_openai,
        types={"seconds": str, "size": str, "input_reference": str, "images": list},
        mistyped=(
            "invalid_json",
            "json: cannot unmarshal {kind} into Go struct field TaskSubmitReq.{name} of type {wanted}",
        ),
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
        "litellm 1.110.2: proxy/video_endpoints/endpoints.py, types/videos/utils.py, and what it answered here",
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
        create_shape=_fastapi,
        types={"seconds": (int, str), "size": str, "input_reference": str},
        refusals={
            "create": Refusal(422),
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
        "maximhq/bifrost: transports/bifrost-http/handlers/inference.go at c6e2f034, "
        "core/schemas/videos.go at 1871dd36",
        words=IN_PROGRESS,
        new_id="video_{}:openai".format,
        shape=_bifrost,
        types={"seconds": str, "size": str, "input_reference": str, "seed": int},
        mistyped=(None, "Invalid request format: mismatched type {wanted} with value {kind}"),
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
        types={"seconds": (int, str), "size": str},
        mistyped=(None, "Failed to deserialize the JSON body into the target type: {name}: invalid type: {got}"),
        redirects=True,
        variants=False,
    ),
    "openrouter": Dialect(
        "OpenRouter's documents: api/api-reference/videos, read in November 2026",
        words={"queued": "pending", **IN_PROGRESS},
        new_id="{}".format,
        shape=_openrouter,
        refusals={
            "unready": Refusal(400, "The video is not completed yet."),
            "list": Refusal(404, "Not Found"),
            "remix": Refusal(404, "Not Found"),
            "delete": Refusal(404, "Not Found"),
        },
        takes="json",
        types={
            **dict.fromkeys(("size", "resolution", "aspect_ratio", "callback_url"), str),
            **dict.fromkeys(("duration", "seed"), int),
            **dict.fromkeys(("input_references", "frame_images"), list),
        },
        mistyped=(None, "{name}: Invalid input: expected {wanted}, received {got}"),
        ignores=frozenset({"seconds", "input_reference"}),
        prefix="/api",
        created_status=202,
        variants=False,
        reshape=_openrouter_job,
    ),
    "merge": Dialect(
        "Merge Gateway's documents: merge-gateway/api-overview/videos, read in November 2026; how its content route "
        "answers before the end is not documented",
        words=IN_PROGRESS,
        new_id="vid_{}".format,
        leaves_out=frozenset({"prompt", "completed_at", "expires_at", "remixed_from_video_id"}),
        shape=_detail,
        create_shape=_fastapi,
        refusals={
            "create": Refusal(422),
            "unready": Refusal(409, "The video is not completed yet."),
            "remix": NO_ROUTE,
        },
        takes="json",
        types={"seconds": (int, str), "size": str},
        created_status=202,
        variants=False,
        reshape=_merge_job,
    ),
}
