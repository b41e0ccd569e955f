"""What the gateway's answers mean. Pure: no socket, no file, no clock, no Airflow.

Rules: an answer is judged by its content as well as its header. Only a known word ends a video; every other
word means wait. What drifts between gateways stands in the tables at the top, not in branches below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from math import isfinite
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors

DONE_WORDS = frozenset({"completed", "complete", "succeeded", "success", "finished"})
FAILED_WORDS = frozenset(
    {"failed", "failure", "fail", "error", "cancelled", "canceled", "expired", "rejected", "deleted"}
)
WAITING_WORDS = frozenset(
    {"queued", "processing", "in_progress", "unknown", "submitted", "pending", "preparing", "running"}
    | {"generating", "postprocessing", "not_start", "not_started"}
)

# Words that decide whatever the status code says. Both `code` and `type` of an error are looked up.
ERROR_WORDS: Mapping[str, type[errors.GatewayError]] = {
    "moderation_blocked": errors.ModerationError,
    "content_policy_violation": errors.ModerationError,
    "content_filter": errors.ModerationError,
    "sensitive_words_detected": errors.ModerationError,
    "video_not_ready": errors.VideoNotReadyError,
    "video_processing": errors.VideoNotReadyError,
    "video_expired": errors.VideoExpiredError,
    "expired": errors.VideoExpiredError,
    "model_not_found": errors.ModelNotFoundError,
    "insufficient_quota": errors.PermissionDeniedError,
    "insufficient_user_quota": errors.PermissionDeniedError,
    "invalid_api_key": errors.AuthenticationError,
}
STATUS_ERRORS: Mapping[int, type[errors.GatewayError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.PermissionDeniedError,
    403: errors.PermissionDeniedError,
    404: errors.VideoNotFoundError,
    405: errors.BadRequestError,
    408: errors.GatewayFaultError,
    409: errors.VideoNotReadyError,
    410: errors.VideoExpiredError,
    413: errors.BadRequestError,
    422: errors.BadRequestError,
    425: errors.VideoNotReadyError,
    429: errors.RateLimitedError,
}
# What a failed video's code says about the request itself: the same request fails again.
BAD_INPUT_WORDS = frozenset(
    {"invalid_request_error", "invalid_request", "invalid_prompt", "invalid_image", "bad_input"}
)
# A 503 with one of these says that the gateway found nobody to send a create to: it surely did not arrive.
NOT_FORWARDED_WORDS = frozenset({"get_channel_failed", "no_available_channel", "channel:no_available_key"})
# Redirects that ask for the same request elsewhere, so it was not carried out; a 302 or 303 may follow upon one.
NOT_DONE_STATUSES = frozenset({301, 307, 308})
# new-api's content route wraps the upstream's status in a 502; that number decides.
UPSTREAM_STATUS = "Upstream service returned status "

# json.loads would make one for every call that gives it an option.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)

TIMES = ("created_at", "completed_at", "expires_at")
CONTENT_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm"}


@dataclass(frozen=True)
class Reply:
    """One answer as it came. ``headers`` have lower-case names; ``at`` is when, in epoch seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float = 0.0
    video_id: str | None = None

    @cached_property
    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        return _loads(self.body)

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-oneapi-request-id") or self.headers.get("x-request-id") or None


@dataclass(frozen=True)
class Video:
    """The gateway's video object. ``status`` is its word as it came; times are epoch seconds."""

    id: str
    status: str | None = None
    model: str | None = None
    progress: float | None = None
    created_at: float | None = None
    completed_at: float | None = None
    expires_at: float | None = None
    seconds: str | None = None
    size: str | None = None
    remixed_from_video_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    prompt: str | None = field(default=None, repr=False)
    request_id: str | None = None

    @property
    def is_done(self) -> bool:
        return (self.status or "").lower() in DONE_WORDS

    @property
    def is_failed(self) -> bool:
        return (self.status or "").lower() in FAILED_WORDS

    @property
    def is_known_word(self) -> bool:
        return self.is_done or self.is_failed or (self.status or "").lower() in WAITING_WORDS

    def is_expired(self, now: float) -> bool:
        return (self.status or "").lower() == "expired" or (self.expires_at is not None and now >= self.expires_at)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types. The prompt is left out: this is what goes into XCom and trigger events."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "prompt"}

    @classmethod
    def from_dict(cls, values: Any) -> Video | None:
        """Make the video again that :meth:`as_dict` described, None where that is none."""
        if not isinstance(values, Mapping) or not isinstance(values.get("id"), str) or not values["id"]:
            return None
        numbers = {name: _number(values.get(name)) for name in ("progress", *TIMES)}
        texts = {f.name: _text(values.get(f.name)) for f in fields(cls) if f.name not in numbers}
        return cls(**texts, **numbers)  # type: ignore[arg-type]


def parse_video(reply: Reply) -> Video:
    """Read a video object; ``task_id`` counts as the id where there is no ``id``.

    :raises WisdomGateError: the typed error where the reply is none.
    """
    body = parse_object(reply)
    video = _video(body, reply) or _video(body.get("data"), reply)
    if video is None:
        raise error_of(reply)
    return video


def parse_list(reply: Reply) -> list[Video]:
    """Read ``{"data": [video, ...]}`` or a bare list."""
    body = reply.json if isinstance(reply.json, list) else parse_object(reply).get("data")
    if reply.status >= 300 or not isinstance(body, list):
        raise error_of(reply)
    return [video for item in body if (video := _video(item, reply))]


def parse_object(reply: Reply) -> dict[str, Any]:
    """Read a 2xx JSON object."""
    if not 200 <= reply.status < 300 or not isinstance(reply.json, dict):
        raise error_of(reply)
    return reply.json


def parse_nothing(reply: Reply) -> None:
    """Take any 2xx."""
    if not 200 <= reply.status < 300:
        raise error_of(reply)


def raise_content_error(reply: Reply) -> None:
    """Name what a content answer says that is no video. Without an error in it, it says "not yet"."""
    error = error_of(reply)
    # new-api says "not completed yet" with a 400 that has no code of its own; a video object is no error at all.
    not_yet = reply.status in (202, 400) or (reply.status == 200 and _video(reply.json, reply) is not None)
    if not_yet and type(error) in (errors.BadRequestError, errors.UnexpectedReplyError):
        raise errors.VideoNotReadyError(error.message, **error.facts)
    raise error


def is_media(status: int, head: bytes) -> bool:
    """Whether a content answer is to be taken for the clip: by its first bytes, whatever the header says.

    Text is none even when the header says ``video/mp4``; the box walk judges the rest.
    """
    if status != 200 or not head:
        return False
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return start not in (b"{", b"[", b"<", b'"', b"")


def error_of(reply: Reply) -> errors.GatewayError:
    """Make the typed error of a reply, from its words first and its status second."""
    message, kind, code = _error_words(reply.json)
    upstream = message.partition(UPSTREAM_STATUS)[2][:3]
    status = int(upstream) if reply.status == 502 and upstream.isdecimal() else reply.status
    error = ERROR_WORDS.get(code.lower()) or ERROR_WORDS.get(kind.lower()) or _status_error(status)
    if status == 404 and reply.status == 502:
        error = errors.VideoExpiredError
    retry_after = retry_delay(reply.headers, reply.at)
    return error(
        message or _describe(reply),
        next_step=_redirect_hint(reply),
        status=reply.status,
        code=code or None,
        type=kind or None,
        request_id=reply.request_id,
        video_id=reply.video_id,
        retry_after=retry_after,
    )


def failure_of(video: Video, *, may_recreate: bool) -> errors.GatewayError:
    """Make the typed error of a failed video.

    :param may_recreate: whether who waits can make another one, so that a task retry may help.
    """
    word = (video.error_code or "").lower()
    error = ERROR_WORDS.get(word, errors.VideoFailedError)
    if (video.status or "").lower() == "expired":
        error = errors.VideoExpiredError
    if not issubclass(error, errors.ModerationError | errors.VideoExpiredError):
        final = not may_recreate or word in BAD_INPUT_WORDS
        error = errors.VideoFailedForGoodError if final else errors.VideoFailedError
    reason = video.error_message or "no reason given"
    return error(
        f"The gateway reports the video as {video.status}: {reason}",
        code=video.error_code,
        video_id=video.id,
        request_id=video.request_id,
        expires_at=video.expires_at,
    )


def retry_delay(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``retry-after-ms`` or ``Retry-After`` (seconds or a date), in seconds from ``now``; None without one."""
    if (delay := _number(headers.get("retry-after-ms"))) is not None:
        return max(0.0, delay / 1000)
    value = headers.get("retry-after")
    if (delay := _number(value)) is not None:
        return max(0.0, delay)
    try:
        date = parsedate_to_datetime(value or "")
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _loads(data: bytes | str) -> Any:
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode(json.detect_encoding(data)))
    except (ValueError, RecursionError):
        return None


def _video(body: Any, reply: Reply) -> Video | None:
    if not isinstance(body, dict):
        return None
    video_id = _text(body.get("id")) or _text(body.get("task_id")) or (reply.video_id if "status" in body else None)
    if not video_id:
        return None
    message, kind, code = _error_words({"error": body["error"]}) if body.get("error") else ("", "", "")
    texts = ("status", "model", "seconds", "size", "remixed_from_video_id")
    values: dict[str, Any] = {name: _text(body.get(name)) for name in texts}
    values |= {name: _number(body.get(name)) for name in TIMES}
    return Video(
        id=video_id,
        progress=_number(str(body.get("progress")).rstrip("%")),
        prompt=_text(body.get("prompt")),
        error_code=next((word for word in (code, kind) if word.lower() in ERROR_WORDS), code or kind) or None,
        error_message=message or None,
        request_id=reply.request_id,
        **values,
    )


def _error_words(body: Any) -> tuple[str, str, str]:
    """Find message, type and code in any of the documented shapes; empty strings where there is none."""
    for _ in range(3):  # new-api puts the upstream's own JSON into `message`, as a string
        if not isinstance(body, dict):
            return _text(body) or "", "", ""
        data = body.get("data")
        inner = body.get("error") or (data.get("error") if isinstance(data, dict) else None)
        if isinstance(inner, str):
            return _short(inner), "", _text(body.get("code")) or ""
        found = inner if isinstance(inner, dict) else body
        message = found.get("message") or found.get("detail")
        wrapped = _loads(message) if isinstance(message, str) and message.lstrip().startswith("{") else None
        if not isinstance(wrapped, dict):
            return _short(message), _text(found.get("type")) or "", _text(found.get("code")) or ""
        body = wrapped
    return "", "", ""


def _status_error(status: int) -> type[errors.GatewayError]:
    if status >= 500:
        return errors.GatewayFaultError
    return STATUS_ERRORS.get(status, errors.BadRequestError if status >= 400 else errors.UnexpectedReplyError)


def _describe(reply: Reply) -> str:
    if not reply.body:
        kind = "an empty body"
    elif reply.body.lstrip()[:1] == b"<":
        kind = "an HTML page"
    else:
        kind = f"{reply.headers.get('content-type', 'content of no type')} that is no answer of a video API"
    return f"The gateway answered HTTP {reply.status} with {kind}"


def _redirect_hint(reply: Reply) -> str | None:
    if 300 <= reply.status < 400 and (location := reply.headers.get("location")):
        return f"It redirects to {location.partition('?')[0]}: set the connection's Base URL to the address meant."
    return None


def _text(value: Any) -> str | None:
    if type(value) is str and value.isascii():
        return value or None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return _writable(str(value)) or None


def _writable(text: str) -> str:
    """Replace what no file and no log can hold: JSON may have half a character."""
    return text.encode(errors="replace").decode()


def _short(value: Any) -> str:
    text = _writable(value) if isinstance(value, str) else "" if value is None else json.dumps(value)
    return text if len(text) <= 500 else f"{text[:500]}..."


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
