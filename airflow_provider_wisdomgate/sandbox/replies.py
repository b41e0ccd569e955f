"""The replies that need no video: every error shape of the contract, as data. Decides nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

HTML = "<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>cloudflare</body></html>\n"
# status -> (type, code, message) of the usual error shape
ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("invalid_request_error", "invalid_request", "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "Invalid token: the API key is missing or wrong."),
    403: ("permission_error", "access_denied", "This token may not use this model."),
    404: ("invalid_request_error", "video_not_found", "Video not found."),
    405: ("invalid_request_error", "method_not_allowed", "Method not allowed."),
    409: ("conflict_error", "conflict", "The video is not in a state that allows this."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    422: ("invalid_request_error", "unprocessable", "The request cannot be processed."),
    425: ("conflict_error", "too_early", "It is too early for this."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Too many requests."),
    500: ("server_error", "internal_error", "The server had an error."),
    501: ("server_error", "not_implemented", "This is not offered here."),
    502: ("server_error", "bad_gateway", "Bad gateway."),
    503: ("server_error", "service_unavailable", "The service is overloaded."),
    504: ("server_error", "gateway_timeout", "The upstream did not answer in time."),
    524: ("server_error", "timeout", "The origin did not answer in time."),
}


def error_body(kind: str, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


NOT_READY = {
    "message": "Video is not ready yet.",
    "data": error_body("video_not_ready", "video_processing", "Video is not ready yet."),
}


def error(status: int, message: str | None = None, *, code: str | None = None, param: str | None = None) -> Response:
    """Build an error in the usual shape; what is not given comes from the table."""
    kind, usual_code, usual_message = ERRORS.get(status, ("server_error", "unknown", f"HTTP {status}."))
    return Reply(status, error_body(kind, code or usual_code, message or usual_message, param)).response()


@dataclass(frozen=True)
class Reply:
    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def response(self) -> Response:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return Response(text, self.status, dict(self.headers), self.media_type)


def _plain(status: int, code: str | None = None, message: str | None = None) -> Reply:
    kind, usual_code, usual_message = ERRORS[status]
    return Reply(status, error_body(kind, code or usual_code, message or usual_message))


# fault -> Content-Encoding, zlib's wbits, share of it that is sent
ENCODINGS = {"gzip": ("gzip", 31, 1.0), "deflate": ("deflate", -15, 1.0), "gzip-cut": ("gzip", 31, 0.5)}


def encoded(fault: str, body: bytes, media_type: str) -> Response:
    """Answer with a body that is encoded, though nobody asked for that."""
    name, wbits, share = ENCODINGS[fault]
    compressor = zlib.compressobj(wbits=wbits)
    data = compressor.compress(body) + compressor.flush()
    return Response(data[: int(len(data) * share)], 200, {"Content-Encoding": name, "ETag": '"encoded"'}, media_type)


_UPSTREAM = json.dumps(error_body("server_error", "internal_error", "The upstream had an error."))
# fault -> the reply it always gives
FIXED: dict[str, Reply] = {
    **{str(s): _plain(s) for s in (400, 401, 403, 404, 405, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 524)},
    "429-after": Reply(429, error_body(*ERRORS[429]), {"Retry-After": "1"}),
    "429-empty": Reply(429, ""),
    "429-day": Reply(429, error_body(*ERRORS[429]), {"Retry-After": "86400"}),
    "429-epoch": Reply(429, error_body(*ERRORS[429]), {"Retry-After": "1790000000"}),
    "429-far-date": Reply(429, error_body(*ERRORS[429]), {"Retry-After": "Thu, 01 Jan 2099 00:00:00 GMT"}),
    "401-ingress": Reply(401, HTML.format(title="401 Authorization Required"), media_type="text/html"),
    "403-ingress": Reply(403, HTML.format(title="403 Forbidden"), media_type="text/html"),
    "404-ingress": Reply(404, "default backend - 404", media_type="text/plain"),
    "404-xml": Reply(404, "<Error><Code>NoSuchKey</Code></Error>", media_type="application/xml"),
    "no-credit-402": Reply(402, error_body("new_api_error", "insufficient_credits", "Not enough credits.")),
    "no-credit-500": Reply(500, error_body("new_api_error", "insufficient_user_quota", "User quota is not enough.")),
    "no-credit-200": Reply(200, error_body("new_api_error", "insufficient_user_quota", "User quota is not enough.")),
    "502-html": Reply(502, HTML.format(title="502 Bad Gateway"), media_type="text/html"),
    "200-html": Reply(200, HTML.format(title="Just a moment..."), media_type="text/html"),
    "200-empty": Reply(200, ""),
    "200-json-error": Reply(200, NOT_READY),
    "202": Reply(202, {"message": "Accepted, not ready yet."}),
    "string-wrapped": Reply(500, {"code": "fail_to_fetch_task", "message": _UPSTREAM, "data": None}),
    "detail": Reply(422, {"detail": [{"loc": ["body"], "msg": "Input should be valid", "type": "value_error"}]}),
    "plain-error": Reply(400, {"error": "something is wrong with this request"}),
    "moderation": _plain(400, "moderation_blocked", "Your request was blocked by our moderation system."),
    "no-channel": Reply(503, error_body("new_api_error", "get_channel_failed", "No available channel for this model.")),
    "model-gone": Reply(503, error_body("new_api_error", "model_not_found", "The model does not exist any more.")),
    "not-ready-400": _plain(400, message="Task is not completed yet, current status: IN_PROGRESS"),
    "502-404": _plain(502, message="Upstream service returned status 404"),
}
