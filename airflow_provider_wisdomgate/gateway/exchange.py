"""What both clients do alike with one exchange: headers and body of the request, redaction and parsing of the answer.

Opens no socket. The key is in the headers for the Base URL's own origin only, and is redacted in every answer before
anything reads it.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
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
from airflow_provider_wisdomgate.gateway.values import decoded, shortened

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_REPLY = 8 * 1024 * 1024
# So much of a lost create's answer is searched for what must not be shown; much less is shown.
MAX_SHOWN = 8 * 1024


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
    """Encode a call's body once for both clients, and say its content type."""
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


def parse_answer(
    call: Call[T], settings: Settings, status: int, headers: Mapping[str, str], body: bytes, *, is_own: bool = True
) -> T:
    """Return what the call's parser makes of an answer, without the key.

    :param is_own: whether the Base URL's own origin answered, not one that it redirected to.
    """
    names = {name.lower(): value for name, value in headers.items()}
    try:
        found: T = settings.redactor.redacted(
            call.parse(Reply(status, names, body, time.time(), call.video_id, is_own))
        )
        return found
    except errors.GatewayError as error:
        if call.idempotent or is_surely_not_created(error):
            raise
        raise lost_create_error(call, error, settings, body) from error


def lost_create_error(
    call: Call[Any], error: errors.WisdomGateError, settings: Settings, answer: bytes
) -> errors.LostCreateError:
    """Make the error of a call that costs and may have made a video whose id is not known.

    :param answer: what arrived, whatever it is.
    """
    kept = {name: value for name, value in error.facts.items() if name in ("status", "code", "request_id")}
    answered_id = error.answered_id or (named_id(answer) if error.status is None else None)
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
