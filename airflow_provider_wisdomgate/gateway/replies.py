"""What the gateway's answers mean. Pure: no socket, no file, no clock, no Airflow.

Rules: an answer is judged by its content as well as its header. Only a known word ends a video; every other
word means wait. What drifts between gateways stands in dialects.py, not in branches here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.dialects import (
    ANYBODYS_STATUSES,
    ERROR_WORDS,
    FINAL_STATUSES,
    NO_SUCH_ROUTE,
    STATUS_ERRORS,
    UPSTREAM_STATUS,
)
from airflow_provider_wisdomgate.gateway.values import loads, moment_of, number_of, shortened, text_of
from airflow_provider_wisdomgate.gateway.video import Video

LONGEST_RETRY_AFTER = 2 * 86400.0


@dataclass(frozen=True)
class Reply:
    """One answer as it came. ``headers`` have lower-case names; ``at`` is when, in epoch seconds.

    :param is_own: whether the gateway's own origin answered, not one that it redirected to.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float = 0.0
    video_id: str | None = None
    is_own: bool = True

    @cached_property
    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        return loads(self.body)

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-oneapi-request-id") or self.headers.get("x-request-id") or None


@dataclass(frozen=True)
class Page:
    """A part of a gateway's list. ``after`` asks for the next one; None where this is all."""

    videos: list[Video]
    after: str | None = None


def parse_video(reply: Reply) -> Video:
    """Read a video object; ``task_id`` counts as the id where there is no ``id``.

    :raises WisdomGateError: the typed error where the reply is none.
    """
    if video := _failed_video(reply):
        return video
    body = parse_object(reply)
    video = _video(body, reply) or _video(body.get("data"), reply)
    if video is None:
        raise error_of(reply)
    return video


def parse_created(reply: Reply) -> Video:
    """Read the video that a create has brought.

    :raises WisdomGateError: the typed error, never one whose advice is about a video that is there already.
    """
    try:
        return parse_video(reply)
    except (errors.VideoNotFoundError, errors.VideoExpiredError) as error:
        advice = "Check the model, and the path in the connection's Base URL."
        raise errors.BadRequestError(error.message, next_step=advice, **error.facts) from error
    except errors.VideoNotReadyError as error:
        raise errors.GatewayFaultError(error.message, **error.facts) from error


def parse_list(reply: Reply) -> list[Video]:
    """Read ``{"data": [video, ...]}`` or a bare list."""
    body = reply.json if isinstance(reply.json, list) else parse_object(reply).get("data")
    if reply.status >= 300 or not isinstance(body, list):
        raise error_of(reply)
    return [video for item in body if (video := _video(item, reply))]


def parse_page(reply: Reply) -> Page:
    """Read a list, and whether there is more of it: OpenAI's ``has_more`` and ``last_id``."""
    videos, body = parse_list(reply), reply.json
    if not isinstance(body, dict) or body.get("has_more") is not True:
        return Page(videos)
    last = text_of(body.get("last_id")) or (videos[-1].id if videos else None)
    if last is None:
        raise errors.UnexpectedReplyError("The gateway's list of videos says that there is more, but not where.")
    return Page(videos, last)


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
    if not reply.is_own:  # S3 says 403 of an object that is not there yet to whoever may not list
        raise errors.VideoNotReadyError(f"After a redirect to another host: {error.message}", **error.facts)
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
    """Make the typed error of a reply, from its words first and its status second.

    Only an answer in one of the gateway's own error shapes speaks for the gateway. A proxy's, an ingress's or an object
    store's page is a passing fault, whatever its status: it says nothing about the video, the key or its credit.
    """
    message, kind, code = _error_words(reply.json) if reply.is_own else ("", "", "")
    upstream = message.partition(UPSTREAM_STATUS)[2][:3]
    status = int(upstream) if reply.status == 502 and upstream.isdecimal() else reply.status
    is_spoken = _speaks(reply, status, message, kind or code)
    by_status = _status_error(status) if is_spoken else _strangers_error(status)
    error = ERROR_WORDS.get(code.lower()) or ERROR_WORDS.get(kind.lower()) or by_status
    if status == 404 and reply.status == 502:
        error = errors.VideoExpiredError
    retry_after = retry_after_of(reply.headers, reply.at)
    return error(
        message or _describe(reply),
        next_step=_hint(reply, message),
        status=reply.status,
        code=code or None,
        type=kind or None,
        request_id=reply.request_id,
        video_id=reply.video_id,
        retry_after=retry_after,
    )


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``retry-after-ms`` or ``Retry-After`` (seconds or a date), in seconds from ``now``.

    None without one, and for one that nobody can mean: over two days, as where somebody sends an epoch number.
    """
    delay = number_of(headers.get("retry-after-ms"))
    delay = number_of(headers.get("retry-after")) if delay is None else delay / 1000
    if delay is None:
        try:
            date = parsedate_to_datetime(headers.get("retry-after") or "")
            delay = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, delay) if delay <= LONGEST_RETRY_AFTER else None


def _failed_video(reply: Reply) -> Video | None:
    """Read the video asked for out of an error: vLLM-Omni answers a poll of a failed one with the error's status."""
    if reply.status < 400 or not reply.is_own or reply.video_id is None:
        return None
    video = _video(reply.json, reply)
    is_it = video is not None and video.id == reply.video_id and reply.json.get("object") == "video"
    return video if video and is_it and video.is_failed else None


def _video(body: Any, reply: Reply) -> Video | None:
    if not isinstance(body, dict):
        return None
    video_id = text_of(body.get("id")) or text_of(body.get("task_id")) or (reply.video_id if "status" in body else None)
    if not video_id:
        return None
    message, kind, code = _error_words({"error": body["error"]}) if body.get("error") else ("", "", "")
    return Video(
        id=video_id,
        status=text_of(body.get("status")),
        model=text_of(body.get("model")),
        progress=number_of(str(body.get("progress")).rstrip("%")),
        created_at=moment_of(body.get("created_at")),
        completed_at=moment_of(body.get("completed_at")),
        expires_at=moment_of(body.get("expires_at")),
        seconds=text_of(body.get("seconds")),
        size=text_of(body.get("size")),
        remixed_from_video_id=text_of(body.get("remixed_from_video_id")),
        error_code=next((word for word in (code, kind) if word.lower() in ERROR_WORDS), code or kind) or None,
        error_message=message or None,
        prompt=text_of(body.get("prompt")),
        request_id=reply.request_id,
    )


def _error_words(body: Any) -> tuple[str, str, str]:
    """Find message, type and code in any of the documented shapes; empty strings where there is none."""
    for _ in range(3):  # new-api puts the upstream's own JSON into `message`, as a string
        if not isinstance(body, dict):
            return "", "", ""
        data = body.get("data")
        inner = body.get("error") or (data.get("error") if isinstance(data, dict) else None)
        if isinstance(inner, str):
            return shortened(inner), "", text_of(body.get("code")) or ""
        found = inner if isinstance(inner, dict) else body
        message = found.get("message") or found.get("detail")
        wrapped = loads(message) if isinstance(message, str) and message.lstrip().startswith("{") else None
        if not isinstance(wrapped, dict):
            return shortened(message), text_of(found.get("type")) or "", text_of(found.get("code")) or ""
        body = wrapped
    return "", "", ""


def _status_error(status: int) -> type[errors.GatewayError]:
    if status >= 500:
        return errors.GatewayFaultError
    return STATUS_ERRORS.get(status, errors.BadRequestError if status >= 400 else errors.UnexpectedReplyError)


def _speaks(reply: Reply, status: int, message: str, word: str) -> bool:
    """Whether an answer is in one of the gateway's own shapes.

    Ingresses say {"message": "Not Found"} and {"detail": ...}, too: where that would be final, it takes an error object
    or a word.
    """
    if status not in FINAL_STATUSES:
        return bool(message or word)
    return bool(word) or (isinstance(reply.json, dict) and bool(reply.json.get("error")) and bool(message))


def _strangers_error(status: int) -> type[errors.GatewayError]:
    """Name what an answer means that is in none of the gateway's own shapes."""
    if status in ANYBODYS_STATUSES:
        return STATUS_ERRORS[status]
    return errors.GatewayFaultError if status >= 500 or status == 408 else errors.UnexpectedReplyError


def _describe(reply: Reply) -> str:
    if not reply.body:
        kind = "an empty body"
    elif reply.body.lstrip()[:1] == b"<":
        kind = "an HTML page"
    else:
        kind = f"{reply.headers.get('content-type', 'content of no type')}, which is not an answer of a video API"
    return f"The gateway answered HTTP {reply.status} with {kind}"


def _hint(reply: Reply, message: str) -> str | None:
    if reply.status == 405 or message.startswith(NO_SUCH_ROUTE):
        return "This gateway does not offer that; docs/gateways.md tells which calls each gateway has."
    if 300 <= reply.status < 400 and (location := reply.headers.get("location")):
        return f"It redirects to {location.partition('?')[0]}: set the connection's Base URL to the right address."
    return None
