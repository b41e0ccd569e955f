"""What the gateway is asked: each route once, as a value. Pure: no socket, no file, no clock, no Airflow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import (
    Reply,
    Video,
    parse_list,
    parse_nothing,
    parse_object,
    parse_video,
    raise_content_error,
)

T = TypeVar("T")

SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}", re.ASCII)
# Two readers of a URL disagree about these: one of them would send the key to another host.
TRICKY = re.compile(r"[\\\x00-\x20\x7f]")
SECONDS = re.compile(r"[1-9]\d{0,5}", re.ASCII)


@dataclass(frozen=True)
class Part:
    """A file inside a multipart create."""

    name: str
    content: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request as a value. ``path`` is relative to the base URL; sending a repeatable one twice costs nothing."""

    method: str
    path: str
    parse: Callable[[Reply], T]
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str | Part] | None = field(default=None, repr=False)
    repeatable: bool = True
    video_id: str | None = None
    timeout: float | None = None


def create_video(
    model: str, prompt: str, options: Mapping[str, Any], reference: Part | None = None, *, repeatable: bool = False
) -> Call[Video]:
    """``POST /videos`` in the model's dialect. ``options`` pass through as given, None left out.

    Sora's takes ``seconds`` as a string in a multipart body, Seedance's ``duration`` as an integer in JSON.
    """
    body = {"model": model, "prompt": prompt, **{k: v for k, v in options.items() if v is not None}}
    # Docs give generation minutes, but the reply to a create comes at once; a short limit would lose paid ids.
    call = {"repeatable": repeatable, "timeout": 300.0}
    if model.lower().startswith("doubao-seedance"):
        if reference:
            raise errors.ConfigurationError(
                f"input_reference: {model} takes images by URL, not as a file.",
                next_step="Give fields={'mode': 'i2v', 'images': ['https://...']} instead.",
            )
        if (seconds := body.pop("seconds", None)) is not None:
            body.setdefault("duration", int(seconds))
        return Call("POST", "/videos", parse_video, json=body, **call)  # type: ignore[arg-type]
    if reference or model.lower().startswith("sora"):
        form: dict[str, str | Part] = {key: _form_value(value) for key, value in body.items()}
        if reference:
            form["input_reference"] = reference
        return Call("POST", "/videos", parse_video, form=form, **call)  # type: ignore[arg-type]
    return Call("POST", "/videos", parse_video, json=body, **call)  # type: ignore[arg-type]


def get_video(video_id: str) -> Call[Video]:
    """``GET /videos/{id}``."""
    return Call("GET", _video_path(video_id), parse_video, video_id=video_id)


def get_content(video_id: str) -> Call[None]:
    """``GET /videos/{id}/content``. Its body is streamed; only an answer that is no video is parsed."""
    return Call("GET", f"{_video_path(video_id)}/content", raise_content_error, video_id=video_id)


def list_videos() -> Call[list[Video]]:
    """``GET /videos``. At OpenAI and LiteLLM; WisdomGate does not document it."""
    return Call("GET", "/videos", parse_list)


def remix_video(video_id: str, prompt: str) -> Call[Video]:
    """``POST /videos/{id}/remix``. Costs like a create."""
    path = f"{_video_path(video_id)}/remix"
    return Call("POST", path, parse_video, json={"prompt": prompt}, repeatable=False, timeout=300.0)


def delete_video(video_id: str) -> Call[None]:
    """``DELETE /videos/{id}``. At OpenAI and LiteLLM; WisdomGate does not document it."""
    return Call("DELETE", _video_path(video_id), parse_nothing, video_id=video_id)


def get_balance() -> Call[dict[str, Any]]:
    """``GET /users/me/balance``. Free, and asks for the key."""
    return Call("GET", "/users/me/balance", parse_object)


def list_models() -> Call[dict[str, Any]]:
    """``GET /models``. Free, and asks for the key."""
    return Call("GET", "/models", parse_object)


def check_request(model: Any, prompt: Any, options: Any) -> None:
    """Find what is wrong with a create before anything is sent or paid. Models and their limits are the gateway's.

    :raises ConfigurationError: naming the argument.
    """
    check_name("model", model, "Give a model that the gateway serves, e.g. 'sora-2'.")
    check_name("prompt", prompt, "Give the text that describes the video.")
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise errors.ConfigurationError(f"fields must be a dict with string keys, not {options!r}.")
    if clash := {"model", "prompt"} & options.keys():
        raise errors.ConfigurationError(f"fields repeats {', '.join(sorted(clash))}, an argument of its own.")
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.ConfigurationError(f"fields must hold plain JSON types: {error}.") from None
    size, seconds = options.get("size"), options.get("seconds")
    if size is not None and not (isinstance(size, str) and SIZE.fullmatch(size)):
        raise errors.ConfigurationError(f"size must be WIDTHxHEIGHT in pixels such as '1280x720', not {size!r}.")
    if seconds is not None and (isinstance(seconds, bool) or not SECONDS.fullmatch(str(seconds))):
        raise errors.ConfigurationError(f"seconds must be a whole number above 0 such as 8, not {seconds!r}.")


def check_name(argument: str, value: Any, remedy: str) -> str:
    """Return a string argument that must not be empty.

    :raises ConfigurationError: it is something else.
    """
    if not isinstance(value, str) or not value.strip():
        raise errors.ConfigurationError(
            f"{argument} must be a string that is not empty, not {value!r}.", next_step=remedy
        )
    return value


def _video_path(video_id: str) -> str:
    return f"/videos/{quote(video_id, safe='')}"


def _form_value(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)


def normal_base_url(host: str | None, port: int | None = None) -> str:
    """Complete a connection's host to the URL that the paths are appended to, ending in ``/v1``.

    Without a scheme https is taken: the key does not travel in the clear unless somebody writes ``http://``.
    """
    url = (host or "").strip() or DEFAULT_BASE_URL
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        name, its_port = parts.hostname, parts.port or port
        if its_port and not 0 < its_port < 65536:
            raise ValueError(its_port)
    except ValueError:
        parts, name, its_port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not name or parts.username is not None or TRICKY.search(url):
        raise errors.ConfigurationError(
            "The connection's Base URL (host) is no http(s) URL of a host, or has a login in it.",
            next_step=f"Use e.g. {DEFAULT_BASE_URL}.",
        )
    authority = (f"[{name}]" if ":" in name else name) + (f":{its_port}" if its_port else "")
    return f"{parts.scheme}://{authority}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}/v1"


def normal_proxy(url: str) -> str:
    """Complete a proxy's address by its scheme.

    :raises ConfigurationError: it is none. Never says what was given: there may be a password in it.
    """
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        is_good = bool(parts.hostname) and parts.port != 0 and not TRICKY.search(url) and url.isascii()
        unquote(parts.netloc).encode("latin-1")  # what a login is sent in
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment:
        raise errors.ConfigurationError(
            "A proxy's address is no URL: of the connection's extra 'proxies', or of the environment.",
            next_step="Use e.g. http://user:password@proxy:3128; in a password, / # ? @ and : are written as %2F etc.",
        )
    return whole


def next_hop(url: str, location: str) -> tuple[str, bool]:
    """Say where a redirect leads and whether that is the same origin, where alone the key may go.

    :raises UnexpectedReplyError: it leaves http(s), or leaves https.
    """
    try:
        if TRICKY.search(location):
            raise ValueError(location)
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        origins = [(p.scheme, p.hostname, p.port or {"http": 80, "https": 443}.get(p.scheme)) for p in (old, new)]
    except ValueError:
        raise errors.UnexpectedReplyError("The gateway redirects to an address that is no URL.") from None
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
        raise errors.UnexpectedReplyError(f"The gateway redirects from {old.scheme} to {new.scheme or 'no'} URL.")
    return target, origins[0] == origins[1]
