"""The directives of prompts, and how they are read. Pure: no I/O, no clock, no state.

`FAULTS` and `DIRECTIVES` are the only list of these words: --help, `GET /` and the 400 for a typo come from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ROUTES = ("create", "poll", "content")
# Other faults on request, and the route whose replies each takes.
STORAGE = {"storage": "content"}
# The names of a clip's own address in a finished object; what is below a list's name is in its first item.
ADDRESSES = (
    *("url", "video_url", "result_url", "meta_data.url", "metadata.url", "outputs.video_url", "content.video_url"),
    *("unsigned_urls", "data.url"),
)
LISTS = ("unsigned_urls", "data")
# Earlier names of directives, which stay accepted.
ALIASES = {"look": "poll"}
CREATE, CONTENT, OBJECTS = (("create",), ("content",), ("create", "poll"))


@dataclass(frozen=True)
class Fault:
    name: str
    routes: tuple[str, ...]
    help: str


FAULTS = (
    *(Fault(str(status), ROUTES, f"HTTP {status}") for status in (400, 401, 403, 404, 409, 413, 422, 425)),
    *(Fault(str(status), CONTENT, f"HTTP {status}") for status in (405, 501)),
    Fault("401-quoting", ROUTES, "HTTP 401 whose message quotes the Authorization header"),
    Fault("429", ROUTES, "HTTP 429 without Retry-After"),
    Fault("429-after", ROUTES, "HTTP 429 with Retry-After: 1"),
    Fault("429-empty", ROUTES, "HTTP 429 with an empty body"),
    Fault("429-day", ROUTES, "HTTP 429 with Retry-After: 86400"),
    Fault("429-epoch", ROUTES, "HTTP 429 whose Retry-After is an epoch number"),
    Fault("429-far-date", ROUTES, "HTTP 429 whose Retry-After is a date in 2099"),
    Fault("401-ingress", ROUTES, "HTTP 401 with the HTML page of an ingress"),
    Fault("403-ingress", ROUTES, "HTTP 403 with the HTML page of a firewall"),
    Fault("404-ingress", ROUTES, "HTTP 404 'default backend - 404' as plain text"),
    Fault("404-xml", ROUTES, "HTTP 404 with the XML of an object store"),
    Fault("gzip", ROUTES, "the normal answer as gzip, which nobody asked for"),
    Fault("deflate", ROUTES, "the normal answer as deflate without its header"),
    Fault("gzip-cut", ROUTES, "the first half of the normal answer's gzip, ended cleanly"),
    *(Fault(str(status), ROUTES, f"HTTP {status}") for status in (500, 502, 503, 504, 524)),
    Fault("502-html", ROUTES, "HTTP 502 with the HTML page of a CDN"),
    Fault("200-html", ROUTES, "HTTP 200 with an HTML page"),
    Fault("200-empty", ROUTES, "HTTP 200 with an empty body"),
    Fault("200-json-error", ROUTES, "HTTP 200 with {message, data: {error}}"),
    Fault("202", ROUTES, "HTTP 202, not ready yet"),
    Fault("string-wrapped", ROUTES, "HTTP 500 whose message is the upstream's JSON as a string"),
    Fault("detail", ROUTES, 'HTTP 422 {"detail": ...}'),
    Fault("plain-error", ROUTES, 'HTTP 400 {"error": "text"}'),
    Fault("drop", ROUTES, "the connection is closed without a reply"),
    Fault("slow", ROUTES, "the normal answer, 3 s late"),
    Fault("hang", ROUTES, "no answer until the client leaves"),
    Fault("moderation", CREATE, "HTTP 400, code moderation_blocked; nothing made"),
    Fault("no-credit-402", CREATE, "HTTP 402, code insufficient_credits; nothing made"),
    Fault("no-credit-500", CREATE, "HTTP 500, code insufficient_user_quota; nothing made"),
    Fault("no-credit-200", CREATE, "HTTP 200, code insufficient_user_quota; nothing made"),
    Fault("no-channel", CREATE, "HTTP 503, code get_channel_failed; nothing made"),
    Fault("model-gone", CREATE, "HTTP 503, code model_not_found; nothing made"),
    Fault("lost", CREATE, "made and PAID, then the connection is closed without a reply"),
    Fault("lost-hang", CREATE, "made and PAID, then no answer until the client leaves"),
    Fault("lost-504", CREATE, "made and PAID, then HTTP 504"),
    Fault("no-id", CREATE, "made and PAID, the reply has no id of any kind"),
    Fault("task-id", CREATE, "made; the reply has only task_id, later polls have id and task_id"),
    Fault("absurd-times", OBJECTS, "its times are zero, durations, milliseconds, texts, far away"),
    Fault("cut", CONTENT, "Content-Length of the whole, connection closed after half"),
    Fault("cut-chunked", CONTENT, "half the body, chunked, ended cleanly"),
    Fault("cut-close", CONTENT, "half the body, delimited only by the closed connection"),
    Fault("chunked", CONTENT, "the whole body without Content-Length"),
    Fault("stall", CONTENT, "half the body, then silence until the client leaves"),
    Fault("truncated", CONTENT, "sound HTTP, but half the file"),
    Fault("empty", CONTENT, "HTTP 200 video/mp4 of zero bytes"),
    Fault("no-range", CONTENT, "Range is ignored: HTTP 200 and the whole body"),
    Fault("other-etag", CONTENT, "If-Range is ignored: HTTP 206 with another ETag"),
    Fault("star-total", CONTENT, "HTTP 206 whose Content-Range ends in /*, without Content-Length"),
    Fault("wrong-total", CONTENT, "HTTP 206 whose total is another one than before"),
    Fault("not-ready-400", CONTENT, "HTTP 400 'Task is not completed yet' (new-api)"),
    Fault("502-404", CONTENT, "HTTP 502 'Upstream service returned status 404' (new-api)"),
    Fault("octet-stream", CONTENT, "the right bytes as application/octet-stream"),
    Fault("json-as-mp4", CONTENT, "an error JSON labelled video/mp4"),
    Fault("html-as-mp4", CONTENT, "an HTML page labelled video/mp4"),
    Fault("text-as-mp4", CONTENT, "plain text labelled video/mp4"),
    Fault("jpeg", CONTENT, "a JPEG picture labelled video/mp4"),
    Fault("webm", CONTENT, "a real WebM, video/webm"),
    Fault("mov", CONTENT, "a real QuickTime file, video/quicktime"),
    Fault("redirect", CONTENT, "302 to signed storage on another port, which answers 400 to an Authorization header"),
    Fault("redirect-403", CONTENT, "302 to storage that answers 403 AccessDenied, as S3 does of what is not there yet"),
)
TITLES = (
    ("create, poll and content", ROUTES),
    ("create and poll", OBJECTS),
    ("create", CREATE),
    ("content", CONTENT),
)
_FAULTS_OF = {route: [fault.name for fault in FAULTS if route in fault.routes] for route in ROUTES}
_FAULTS_OF |= {name: _FAULTS_OF[route] for name, route in STORAGE.items()}


@dataclass(frozen=True)
class RepeatedFault:
    """One reply of a route, given `times` times (None: for ever)."""

    fault: str
    times: int | None


@dataclass(frozen=True)
class Directives:
    """The directives of one prompt; `text` is the prompt without its directives."""

    text: str = ""
    render: float | None = None
    fail: str | None = None
    status: str | None = None
    done: str | None = None
    never: bool = False
    odd_id: bool = False
    late: float = 0.0
    expires: float | None = None
    bytes: int | None = None
    address: str | None = None
    replies: Mapping[str, tuple[RepeatedFault, ...]] = field(default_factory=dict)


class DirectiveError(ValueError):
    """A directive that nobody knows; the message names those that are known."""


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        raise DirectiveError(f"{value!r} is no number of seconds")
    return float(value)


def _count(value: str) -> int:
    if not re.fullmatch(r"\d{1,12}", value):
        raise DirectiveError(f"{value!r} is no whole number")
    return int(value)


def _word(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+", value):
        raise DirectiveError(f"{value!r} is no word")
    return value


def _address(value: str) -> str:
    if value not in ADDRESSES:
        raise DirectiveError(f"{value!r} is no name of an address; known: {' '.join(ADDRESSES)}")
    return value


def _flag(value: str) -> bool:
    if value:
        raise DirectiveError("takes no value")
    return True


def _faults(route: str) -> Callable[[str], tuple[RepeatedFault, ...]]:
    def read(value: str) -> tuple[RepeatedFault, ...]:
        return tuple(_fault(route, part) for part in value.split("+"))

    return read


def _fault(route: str, text: str) -> RepeatedFault:
    name, times = text, None
    if match := re.fullmatch(r"(.+)x(\d{1,6})", text):
        name, times = match[1], int(match[2])
    if name not in _FAULTS_OF[route]:
        raise DirectiveError(f"{text!r} is no reply of {route}; known: {' '.join(_FAULTS_OF[route])}")
    return RepeatedFault(name, times)


@dataclass(frozen=True)
class Directive:
    key: str
    value: str
    read: Callable[[str], Any]
    help: str


DIRECTIVES = (
    Directive("render", "SECONDS", _seconds, "rendering takes that long"),
    Directive("fail", "CODE", _word, "ends failed with that error code, e.g. moderation_blocked, internal_error"),
    Directive("status", "WORD", _word, "reports WORD instead of processing, e.g. dreaming"),
    Directive("done", "WORD", _word, "reports WORD instead of completed, e.g. SUCCESS"),
    Directive("never", "", _flag, "never finishes"),
    Directive("odd-id", "", _flag, "gives an id with / + and =, which a client must percent-encode"),
    Directive("late", "SECONDS", _seconds, "content is not ready for that long after completed"),
    Directive("expires", "SECONDS", _seconds, "content is gone that long after completed"),
    Directive("bytes", "N", _count, "pads the MP4 to N bytes"),
    Directive("address", "NAME", _address, "the finished object names the clip's signed address, e.g. as metadata.url"),
    Directive("create", "REPLY", _faults("create"), "misbehaves on POST /v1/videos"),
    Directive("poll", "REPLY", _faults("poll"), "misbehaves on GET /v1/videos/{id}"),
    Directive("content", "REPLY", _faults("content"), "misbehaves on GET /v1/videos/{id}/content of a finished video"),
    Directive("storage", "REPLY", _faults("storage"), "misbehaves, as content does, at the clip's signed address"),
)
_BY_KEY = {directive.key: directive for directive in DIRECTIVES}
_BLOCK = re.compile(r"\[sandbox:([^\]]*)(\]?)", re.IGNORECASE)


def parse(prompt: str) -> Directives:
    """Read every `[sandbox: ...]` of a prompt; raise DirectiveError on anything unknown."""
    values: dict[str, Any] = {}
    replies: dict[str, tuple[RepeatedFault, ...]] = {}
    for body, end in _BLOCK.findall(prompt):
        if not end:
            raise DirectiveError("'[sandbox:' without its closing ']'")
        for item in re.split(r"[\s,]+", body.strip(" ,\t\r\n")):
            key, value = _read(item)
            if key in _FAULTS_OF:
                replies[key] = value
            else:
                values[key.replace("-", "_")] = value
    return Directives(text=" ".join(_BLOCK.sub(" ", prompt).split()), replies=replies, **values)


def _read(item: str) -> tuple[str, Any]:
    name, _, value = item.partition("=")
    key = ALIASES.get(name, name)
    directive = _BY_KEY.get(key)
    if directive is None:
        raise DirectiveError(f"unknown sandbox directive {key!r}; known: {' '.join(map(_usage, DIRECTIVES))}")
    try:
        return key, directive.read(value)
    except DirectiveError as error:
        raise DirectiveError(f"sandbox directive {key!r}: {error}") from None


def named(address: str, url: str) -> dict[str, Any]:
    """Return the fields of an object that name a clip's address."""
    value: Any = url
    for name in reversed(address.split(".")):
        value = {name: [value] if name in LISTS else value}
    return dict(value)


def _usage(directive: Directive) -> str:
    return f"{directive.key}={directive.value}" if directive.value else directive.key


def explain() -> str:
    """Write the directives and replies down for --help and `GET /`."""
    lines = ["Directives in a prompt: [sandbox: key=value key2=value ...]  (an unknown one is an HTTP 400)"]
    lines += [f"  {_usage(directive):<16} {directive.help}" for directive in DIRECTIVES]
    lines += ["", "REPLY is a name below; name xN without the space (500x2) = only the first N times, then the next of"]
    lines += ["several joined with + (500x2+429x1), then normal. create= counts per prompt, the others per video."]
    for title, wanted in TITLES:
        lines += ["", f"Replies of {title}:"]
        lines += [f"  {fault.name:<16} {fault.help}" for fault in FAULTS if fault.routes == wanted]
    return "\n".join(lines)
