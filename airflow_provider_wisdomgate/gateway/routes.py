"""What the gateway is asked: each route once, as a value. Pure: no socket, no file, no clock, no Airflow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import (
    Page,
    Reply,
    parse_created,
    parse_nothing,
    parse_object,
    parse_page,
    parse_video,
    raise_content_error,
)
from airflow_provider_wisdomgate.gateway.video import Video

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
# Docs give generation minutes, but the reply to a create comes at once; a short limit would lose paid ids.
CREATE_TIMEOUT = 300.0
# So many letters may need some time to be sent: images in a request's fields.
LARGE = 50_000

SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}", re.ASCII)

SECONDS = re.compile(r"[1-9]\d{0,5}", re.ASCII)

# So many dicts and lists in one another, on every Python: its json stops at 992 in 3.11, at 1,496 in 3.12, at 9,997 in
# 3.13 and at 16,518 in 3.14, and what copies a request after its claim stops elsewhere.
DEEPEST = 100


@dataclass(frozen=True)
class Part:
    """A file inside a multipart create."""

    name: str
    content: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request as a value. ``path`` is relative to the base URL; sending an idempotent one twice costs nothing.

    :param timeout: seconds for the whole answer, and for a stretch without a byte; None: the connection's.
    :param is_long: the answer's body may take any time; only its head has the time of an answer.
    :param idempotency_key: the same in every attempt of a create. A gateway that knows the header makes one video of
        them; nothing here relies on it.
    """

    method: str
    path: str
    parse: Callable[[Reply], T]
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str | Part] | None = field(default=None, repr=False)
    idempotent: bool = True
    video_id: str | None = None
    timeout: float | None = None
    is_long: bool = False
    idempotency_key: str | None = None


def longest_attempt(call: Call[Any]) -> float:
    """Return the seconds that one attempt of a call may take at most: to connect, to send, to be answered."""
    timeout = call.timeout or CREATE_TIMEOUT
    fields = call.form or {}
    is_large = any(isinstance(value, Part) for value in fields.values()) or len(str(call.json or fields)) > LARGE
    return CONNECT_TIMEOUT + (2 * timeout if is_large else timeout)


def create_video(
    model: str,
    prompt: str,
    options: Mapping[str, Any],
    reference: Part | None = None,
    *,
    idempotent: bool = False,
    create_as: str | None = None,
) -> Call[Video]:
    """``POST /videos`` in the model's dialect. ``options`` pass through as given, None left out.

    Sora's takes ``seconds`` as a string in a multipart body, Seedance's ``duration`` as an integer in JSON.

    :param create_as: ``form`` or ``json``, for a gateway that takes only one of them.
    """
    body = {"model": model, "prompt": prompt, **{k: v for k, v in options.items() if v is not None}}
    call = {"idempotent": idempotent, "timeout": CREATE_TIMEOUT}
    if model.lower().startswith("doubao-seedance"):
        if reference:
            raise errors.ConfigurationError(
                f"input_reference: {model} takes images by URL, not as a file.",
                next_step="Give fields={'mode': 'i2v', 'images': ['https://...']} instead.",
            )
        if (seconds := body.pop("seconds", None)) is not None:
            body.setdefault("duration", int(seconds))
        is_form = create_as == "form"
    elif reference and create_as == "json":
        raise errors.ConfigurationError(
            "input_reference: the connection sends creates as JSON (create_as), which carries no file.",
            next_step="Give the image in fields, as the gateway wants it in JSON.",
        )
    else:
        is_form = create_as != "json" and (create_as == "form" or bool(reference) or model.lower().startswith("sora"))
    if is_form:
        form: dict[str, str | Part] = {key: _form_value(value) for key, value in body.items()}
        if reference:
            form["input_reference"] = reference
        return Call("POST", "/videos", parse_created, form=form, **call)  # type: ignore[arg-type]
    return Call("POST", "/videos", parse_created, json=body, **call)  # type: ignore[arg-type]


def get_video(video_id: str) -> Call[Video]:
    """``GET /videos/{id}``."""
    return Call("GET", _video_path(video_id), parse_video, video_id=video_id)


def get_content(video_id: str) -> Call[None]:
    """``GET /videos/{id}/content``. Its body is streamed; only an answer that is no video is parsed."""
    return Call("GET", f"{_video_path(video_id)}/content", raise_content_error, video_id=video_id, is_long=True)


def list_videos(after: str | None = None) -> Call[Page]:
    """``GET /videos``, a page of it. At OpenAI and LiteLLM; WisdomGate does not document it."""
    return Call("GET", f"/videos?after={quote(after, safe='')}" if after else "/videos", parse_page)


def remix_video(video_id: str, prompt: str) -> Call[Video]:
    """``POST /videos/{id}/remix``. Costs like a create."""
    path = f"{_video_path(video_id)}/remix"
    return Call("POST", path, parse_created, json={"prompt": prompt}, idempotent=False, timeout=CREATE_TIMEOUT)


def delete_video(video_id: str) -> Call[None]:
    """``DELETE /videos/{id}``. At OpenAI and LiteLLM; WisdomGate does not document it."""
    return Call("DELETE", _video_path(video_id), parse_nothing, video_id=video_id)


def get_balance() -> Call[dict[str, Any]]:
    """``GET /users/me/balance``. Free, and asks for the key."""
    return Call("GET", "/users/me/balance", parse_object)


def list_models() -> Call[dict[str, Any]]:
    """``GET /models``. Free, and asks for the key."""
    return Call("GET", "/models", parse_object)


def check_create(model: Any, prompt: Any, options: Any) -> None:
    """Find what is wrong with a create before anything is sent or paid. Models and their limits are the gateway's.

    :raises ConfigurationError: naming the argument.
    """
    check_text("model", model, "Give a model that the gateway serves, e.g. 'sora-2'.")
    check_text("prompt", prompt, "Give the text that describes the video.")
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise errors.ConfigurationError(f"fields must be a dict with string keys, not {options!r}.")
    if clash := {"model", "prompt"} & options.keys():
        raise errors.ConfigurationError(f"fields repeats {', '.join(sorted(clash))}, which has an argument of its own.")
    try:
        # Sorted, as the fingerprint is: keys of several types are then refused here.
        json.dumps(options, allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
        too_deep = _is_deeper(options, DEEPEST)
    except UnicodeEncodeError:
        raise _half_a_character("fields") from None
    except (TypeError, ValueError) as error:
        raise errors.ConfigurationError(f"fields must hold plain JSON types: {error}.") from None
    except RecursionError:
        too_deep = True
    if too_deep:
        raise errors.ConfigurationError(f"fields may be nested at most {DEEPEST} levels deep.")
    size, seconds = options.get("size"), options.get("seconds")
    if size is not None and not (isinstance(size, str) and SIZE.fullmatch(size)):
        raise errors.ConfigurationError(f"size must be WIDTHxHEIGHT in pixels such as '1280x720', not {size!r}.")
    if seconds is not None and (isinstance(seconds, bool) or not SECONDS.fullmatch(str(seconds))):
        raise errors.ConfigurationError(f"seconds must be a whole number above 0 such as 8, not {seconds!r}.")


def check_text(argument: str, value: Any, remedy: str) -> str:
    """Return a string argument that must not be empty.

    :raises ConfigurationError: it is something else.
    """
    if not isinstance(value, str) or not value.strip():
        raise errors.ConfigurationError(f"{argument} must be a non-empty string, not {value!r}.", next_step=remedy)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _half_a_character(argument) from None
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Tell whether dicts and lists that JSON can hold are nested more than so many deep."""
    level = [value]
    for _ in range(levels):
        if not level:
            return False
        inside = [outer.values() if isinstance(outer, dict) else outer for outer in level]
        level = [inner for values in inside for inner in values if isinstance(inner, dict | list | tuple)]
    return bool(level)


def _half_a_character(argument: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"{argument} holds half a character (a lone surrogate), which cannot be sent.",
        next_step="See where the text was cut, or repair it: text.encode(errors='replace').decode().",
    )


def _video_path(video_id: str) -> str:
    if video_id in (".", ".."):  # the HTTP libraries would make another route of it, quoted or not
        raise errors.ConfigurationError(f"video_id {video_id!r} is no id.", next_step="Give the id of a create.")
    return f"/videos/{quote(video_id, safe='')}"


def _form_value(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)
