"""The part of one exchange that both clients share: the request's headers and body, redaction, parsing of the answer.

Opens no socket. The key is in the headers for the Base URL's own origin only, and is redacted in every answer before
anything reads it.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from urllib3.filepost import encode_multipart_formdata

from airflow_provider_wisdomgate import __version__
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.foreign import without_queries
from airflow_provider_wisdomgate.gateway.replies import Reply, named_id
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy, is_surely_not_created, retry_delay
from airflow_provider_wisdomgate.gateway.routes import Call, Part, form_parts
from airflow_provider_wisdomgate.gateway.settings import Secret, Settings
from airflow_provider_wisdomgate.gateway.values import decoded, first_document, shortened
from airflow_provider_wisdomgate.gateway.wire import NOTHING, Unshown, decoded_body, encodings_of

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_REPLY = 8 * 1024 * 1024
# So much of a lost create's answer is searched for what must not be shown; much less is shown.
MAX_SHOWN = 8 * 1024
MAX_HEADER = 500
CHUNK_LINE = re.compile(rb"\r\n[0-9a-fA-F]{1,15}[ \t]{0,9}(?:;[^\r\n]{0,1000})?\r\n")
CUT_ID = re.compile(r'"(?:id|task_id|video_id|generation_id|job_id)"\s*:\s*"([^"\\]{1,200})"')


def headers_of(settings: Settings, *, same_origin: bool = True, call: Call[Any] | None = None) -> dict[str, str]:
    """Return the headers of a request; another origin gets neither the key nor the connection's own."""
    common = {"User-Agent": f"airflow-provider-wisdomgate/{__version__}", "Accept-Encoding": "identity"}
    if not same_origin:
        return common
    if call and call.idempotency_key:
        common["Idempotency-Key"] = call.idempotency_key
    return {**common, **settings.headers, "Authorization": Secret(f"Bearer {settings.api_key}")}


def origin_of(url: str) -> str:
    """Return ``scheme://host:port``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def encode_body(call: Call[Any]) -> tuple[bytes | None, dict[str, str]]:
    """Encode a call's body once for both clients; return it and its content type."""
    if call.json is not None:
        return json.dumps(call.json).encode(), {"Content-Type": "application/json"}
    if call.form is None:
        return None, {}
    fields = [
        (name, (part.name, part.content, part.content_type) if isinstance(part, Part) else part)
        for name, part in form_parts(call)
    ]
    body, content_type = encode_multipart_formdata(fields)
    return body, {"Content-Type": content_type}


@dataclass(frozen=True)
class Received:
    """The outcome of one exchange. ``body`` is as it came, not decoded; ``error`` is what ended it before its end.

    :param is_own: whether the Base URL's own origin answered, not one that it redirected to.
    """

    status: int | None
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Unshown = field(repr=False)
    is_own: bool = True
    error: errors.WisdomGateError | None = None


def meaning_of(call: Call[T], settings: Settings, got: Received, seen: Unshown | None = None) -> T:
    """Return what an answer means, or raise it: the one place where the answers of both clients are read.

    :param seen: what came after the head, as it came, of an answer whose loss would cost.
    """
    body, undecoded = decoded_body(got.body, got.headers, MAX_REPLY)
    body, error = settings.redact_bytes(body), got.error or undecoded
    if isinstance(error, errors.UnexpectedReplyError):
        error.status = got.status
    if call.idempotent and error:
        raise error
    if not call.idempotent:
        body = _best_evidence(body, settings.redact_bytes(bytes(seen or b"")), got)
        if got.status is None:
            raise lost_create_error(call, error or errors.ConnectionBrokenError(broke(NOTHING)), settings, body)
    # Before a header is cut: a cut in the middle of the key would hide it from the redactor.
    redact = settings.redactor.redact
    names = {
        name.lower(): value if len(value) <= MAX_HEADER else redact(value)[:MAX_HEADER]
        for name, value in got.headers.items()
    }
    reply = Reply(got.status or 0, names, body, time.time(), call.video_id, got.is_own)
    try:
        found: T = settings.redactor.redacted(call.parse(reply))
        return found
    except errors.GatewayError as refusal:
        if not call.idempotent and first_document(body) is None:
            refusal.answered_id = cut_id(body)
        if call.idempotent or is_surely_not_created(refusal):
            raise
        raise lost_create_error(call, refusal, settings, body) from refusal


def broke(reason: str) -> str:
    """Return the message of a connection that broke after it was made."""
    return f"The connection to the gateway broke: {reason}"


def is_evident(call: Call[Any], got: Received) -> bool:
    """Whether nothing of an answer is missing that could matter: a create's that has no JSON may go on later."""
    return call.idempotent or first_document(decoded_body(got.body, got.headers, MAX_REPLY)[0]) is not None


def _best_evidence(body: bytes, seen: bytes, got: Received) -> bytes:
    """Return a create's body, or what came if the body does not name the video and that does.

    A wrong length or chunk size may have cut the body.
    """
    candidates = body, seen, CHUNK_LINE.sub(b"", b"\r\n" + seen)
    for has_it in (lambda data: first_document(data) is not None, cut_id):
        if found := next((data for data in candidates if has_it(data)), None):
            return found
    return seen if got.error and not encodings_of(got.headers) else body or seen


def cut_id(answer: bytes) -> str | None:
    """Return the id in JSON whose end is missing."""
    found = CUT_ID.search(decoded(answer[:MAX_SHOWN]))
    return found[1] if found else None


def lost_create_error(
    call: Call[Any], error: errors.WisdomGateError, settings: Settings, answer: bytes
) -> errors.LostCreateError:
    """Make the error of a call that costs and may have made a video whose id is not known.

    :param answer: what arrived, whatever it is.
    """
    kept = {name: value for name, value in error.facts.items() if name in ("status", "code", "request_id")}
    answered_id = error.answered_id or (named_id(answer) if error.status is None else None)
    if answered_id is None and error.status is None and first_document(answer) is None:
        answered_id = cut_id(answer)
    came = "its answer names no video" if error.status else "its answer did not"
    return errors.LostCreateError(
        f"A {call.method} {call.path} may have arrived, but {came}: {error.message}",
        answer=_shown(answer, call, settings) or None,
        answered_id=answered_id,
        **kept,
    )


def _shown(answer: bytes, call: Call[Any], settings: Settings) -> str:
    """Return the beginning of an answer as text, without the key, the prompt and the signature of a URL."""
    is_cut = len(answer) > MAX_SHOWN
    text = settings.redactor.redact(decoded(answer[:MAX_SHOWN]) + "..." * is_cut)
    text = re.sub(r"\\u00([2-7][0-9a-fA-F])", lambda found: chr(int(found[1], 16)), text)
    prompt = str((call.json or call.form or {}).get("prompt") or "")
    for secret in filter(None, (prompt, json.dumps(prompt)[1:-1], json.dumps(prompt, ensure_ascii=False)[1:-1])):
        text = text.replace(secret, "(prompt)")
    return shortened(" ".join(without_queries(text).split()))


def after_error(
    call: Call[Any], error: errors.WisdomGateError, attempt: int, policy: RetryPolicy, settings: Settings
) -> float:
    """Return the seconds to sleep before the next attempt, or raise. No word of the error has the key."""
    settings.redactor.redact_error(error)
    delay = retry_delay(error, idempotent=call.idempotent, attempt=attempt, policy=policy, jitter=random.random())
    if delay is not None:
        return delay
    if call.idempotent or isinstance(error, errors.LostCreateError) or is_surely_not_created(error):
        raise error
    raise lost_create_error(call, error, settings, b"") from error
