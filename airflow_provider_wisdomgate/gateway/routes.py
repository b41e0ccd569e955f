"""The requests to the gateway: each route once, as a value. Pure: no socket, no file, no clock, no Airflow."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
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
    raise_address_error,
    raise_content_error,
)
from airflow_provider_wisdomgate.gateway.video import Video

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
# Docs give generation minutes, but the reply to a create comes at once; a short limit would lose paid ids.
CREATE_TIMEOUT = 300.0
# So many letters may need some time to be sent: images in a request's fields.
LARGE = 50_000

# "1280x720", "832*480", "1080P", "16:9": each gateway has its own words.
LONGEST_SIZE = 100
SECONDS = re.compile(r"([1-9]\d{0,5})(?:\.0+)?", re.ASCII)

# So many dicts and lists in one another, on every Python: its json stops at 992 in 3.11, at 1,496 in 3.12, at 9,997 in
# 3.13 and at 16,518 in 3.14, and what copies a request after its claim stops elsewhere.
DEEPEST = 100


@dataclass(frozen=True)
class Part:
    """A file inside a multipart create."""

    name: str
    content: bytes = field(repr=False)
    content_type: str


# A create's references: an image as a file, or a URL, a data: URL or an object that the gateway fetches or decodes.
Reference = Part | str | Mapping[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request as a value. ``path`` is relative to the base URL; sending an idempotent one twice costs nothing.

    :param timeout: seconds for the whole answer, and for a stretch without a byte; None: the connection's.
    :param is_long: the answer's body may take any time; only its head has the time of an answer.
    :param idempotency_key: the same in every attempt of a create. A gateway that knows the header makes one video of
        them; nothing here relies on it.
    :param form: a list is sent as repeated parts of one name.
    :param reference_sha256: the hash of a create's reference, or of each of several.
    :param address: where to send it in place of ``path``: a URL that an answer named, perhaps signed.
    """

    method: str
    path: str
    parse: Callable[[Reply], T]
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str | Part | list[str | Part]] | None = field(default=None, repr=False)
    idempotent: bool = True
    video_id: str | None = None
    timeout: float | None = None
    is_long: bool = False
    idempotency_key: str | None = None
    reference_sha256: str | list[str] | None = None
    address: str | None = field(default=None, repr=False)


def longest_attempt(call: Call[Any]) -> float:
    """Return the seconds that one attempt of a call may take at most: to connect, to send, to be answered."""
    timeout = call.timeout or CREATE_TIMEOUT
    is_large = any(isinstance(part, Part) for _, part in form_parts(call)) or len(str(call.json or call.form)) > LARGE
    return CONNECT_TIMEOUT + (2 * timeout if is_large else timeout)


def form_parts(call: Call[Any]) -> list[tuple[str, str | Part]]:
    """Return the parts of a multipart body in their order."""
    values = (call.form or {}).items()
    return [(name, part) for name, value in values for part in (value if isinstance(value, list) else [value])]


def create_video(
    model: str,
    prompt: str,
    options: Mapping[str, Any],
    reference: Reference | list[Reference] | None = None,
    *,
    idempotent: bool = False,
    create_as: str | None = None,
) -> Call[Video]:
    """``POST /videos`` in the model's dialect. ``options`` pass through as given, None left out; ``size`` is text.

    Sora's takes a multipart body of strings, Seedance's ``duration`` as an integer and images by URL in JSON. A file
    makes it a form, any other reference JSON.

    :param create_as: ``form`` or ``json``, for a gateway that takes only one of them.
    """
    body = {"model": model, "prompt": prompt, **{k: v for k, v in options.items() if v is not None}}
    if "size" in body:
        body["size"] = as_text(body["size"])
    several = reference if isinstance(reference, list) else [] if reference is None else [reference]
    hashes = [_sha256(each) for each in several]
    has_file = any(isinstance(each, Part) for each in several)
    is_sora, is_form = model.lower().startswith("sora"), create_as == "form"
    if model.lower().startswith("doubao-seedance"):
        if (seconds := body.pop("seconds", None)) is not None:
            body.setdefault("duration", int(seconds_text(seconds)))
        _add_images(body, several)
        several = []
    elif has_file and create_as == "json":
        raise errors.ConfigurationError(
            "input_reference: the connection sends creates as JSON (create_as), which carries no file.",
            next_step="Give the image as an https URL or a data: URL, or in fields as the gateway wants it in JSON.",
        )
    elif create_as is None:
        is_form = has_file or (is_sora and not several)
    if several:
        body["input_reference"] = reference
    return Call(
        "POST",
        "/videos",
        parse_created,
        json=None if is_form else body,
        form={name: _form_value(name, value) for name, value in body.items()} if is_form else None,
        idempotent=idempotent,
        timeout=CREATE_TIMEOUT,
        reference_sha256=hashes if isinstance(reference, list) else next(iter(hashes), None),
    )


def _add_images(body: dict[str, Any], references: Sequence[Reference]) -> None:
    """Put references where Seedance takes them: a first frame, or several images to follow, by URL."""
    if not references:
        return
    if not all(isinstance(each, str) and is_url(each) for each in references) or "images" in body:
        raise errors.ConfigurationError(
            f"input_reference: {body['model']} takes images by URL, not as a file, a data: URL or an object, and not "
            "beside fields['images'].",
            next_step="Give an https URL, or fields={'mode': 'i2v', 'images': ['https://...']} instead.",
        )
    body["images"] = list(references)
    body.setdefault("mode", "i2v" if len(references) == 1 else "r2v")


def is_url(text: str) -> bool:
    """Whether a text is an http(s) URL, which a gateway fetches and nothing here does."""
    return text.lower().startswith(("https://", "http://"))


def _sha256(reference: Reference) -> str:
    if isinstance(reference, Part):
        return hashlib.sha256(reference.content).hexdigest()
    text = reference if isinstance(reference, str) else json.dumps(reference, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def get_video(video_id: str) -> Call[Video]:
    """``GET /videos/{id}``."""
    return Call("GET", _video_path(video_id), parse_video, video_id=video_id)


def get_content(video_id: str, address: str | None = None) -> Call[None]:
    """``GET /videos/{id}/content``. Its body is streamed; only an answer that is no video is parsed.

    :param address: the clip's own address, to ask in place of the route.
    """
    parse = raise_address_error if address else raise_content_error
    return Call("GET", f"{_video_path(video_id)}/content", parse, video_id=video_id, is_long=True, address=address)


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


def check_create(model: Any, prompt: Any, options: Any) -> tuple[str, str]:
    """Find what is wrong with a create before anything is sent or paid. Models and their limits are the gateway's.

    :return: model and prompt as text.
    :raises ConfigurationError: naming the argument.
    """
    model = check_text("model", model, "Give a model that the gateway serves, e.g. 'sora-2'.")
    prompt = check_text("prompt", prompt, "Give the text that describes the video.")
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise errors.ConfigurationError(f"fields must be a dict with string keys, not {options!r}.")
    if clash := {"model", "prompt"} & options.keys():
        raise errors.ConfigurationError(f"fields repeats {', '.join(sorted(clash))}, which has an argument of its own.")
    check_plain("fields", options)
    if (size := options.get("size")) is not None:
        _check_size(as_text(size))
    if (seconds := options.get("seconds")) is not None:
        seconds_text(seconds)
    return model, prompt


def check_plain(argument: str, value: Any) -> str:
    """Return a value's JSON.

    :raises ConfigurationError: it has none, or is nested too deep.
    """
    try:
        # Sorted, as the fingerprint is: keys of several types are then refused here.
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True)
        text.encode()
        too_deep = _is_deeper(value, DEEPEST)
    except UnicodeEncodeError:
        raise _half_a_character(argument) from None
    except (TypeError, ValueError) as error:
        raise errors.ConfigurationError(f"{argument} must hold plain JSON types: {error}.") from None
    except RecursionError:
        too_deep = True
    if too_deep:
        raise errors.ConfigurationError(f"{argument} may be nested at most {DEEPEST} levels deep.")
    return text


def _check_size(size: Any) -> None:
    check_text("size", size, "Give what the model takes, e.g. '1280x720', '1080P' or '16:9'.")
    if len(size) > LONGEST_SIZE or not size.isprintable():
        raise errors.ConfigurationError(
            f"size must be at most {LONGEST_SIZE} printable characters such as '1280x720', not {size[:LONGEST_SIZE]!r}."
        )


def seconds_text(seconds: Any) -> str:
    """Return a clip's length as the text that gateways document: 8, 8.0 and "8" are one.

    :raises ConfigurationError: it is no whole number above 0.
    """
    found = None if isinstance(seconds, bool) else SECONDS.fullmatch(str(seconds))
    if found is None:
        raise errors.ConfigurationError(f"seconds must be a whole number above 0 such as 8, not {seconds!r}.")
    return found[1]


def as_text(value: Any) -> Any:
    """Return a number as text: Airflow's native rendering makes numbers of digits. Anything else stays as it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and (isinstance(value, int) or math.isfinite(value)) else value


def check_text(argument: str, value: Any, remedy: str) -> str:
    """Return a string argument that must not be empty; a number as its text.

    :raises ConfigurationError: it is something else.
    """
    text = as_text(value)
    if not isinstance(text, str) or not text.strip():
        raise errors.ConfigurationError(f"{argument} must be a non-empty string, not {value!r}.", next_step=remedy)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _half_a_character(argument) from None
    return text


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether dicts and lists that JSON can hold are nested more than so many deep."""
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


def _form_value(name: str, value: Any) -> str | Part | list[str | Part]:
    if name == "input_reference" and isinstance(value, list):
        return [_form_part(each) for each in value]
    return _form_part(value)


def _form_part(value: Any) -> str | Part:
    return value if isinstance(value, str | Part) else json.dumps(value)
