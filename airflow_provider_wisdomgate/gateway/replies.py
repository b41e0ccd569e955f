"""Reads the meaning of the gateway's answers. Pure: no socket, no file, no clock, no Airflow.

Rules: an answer is judged by its content as well as its header. Only a known word ends a video; every other
word means wait. Differences between gateways stand in dialects.py, not in branches here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.dialects import (
    ADDRESS_NAMES,
    ADDRESS_PLACES,
    ANY_SHAPE,
    ANYBODYS_STATUSES,
    DONE_WORDS,
    ENVELOPE_FIELDS,
    ERROR_WORDS,
    FAILED_WORDS,
    FILTERS_STATUSES,
    FINAL_STATUSES,
    ID_NAMES,
    KEYS_STATUSES,
    MODERATION_DETAILS,
    MODERATION_STAGE,
    NO_SUCH_ROUTE,
    OTHER_NOUNS,
    OWN_SHAPE,
    PAYMENT_STATUSES,
    PLACES,
    STATUS_ERRORS,
    STATUS_NAMES,
    SUCCESS_CODES,
    SURE_ID_NAMES,
    UNKNOWN_VIDEO_PHRASES,
    UPSTREAM_STATUS,
    VIDEO_FIELDS,
    VIDEO_NOUNS,
    VIDEOS_ERRORS,
    WAITING_WORDS,
    Shape,
)
from airflow_provider_wisdomgate.gateway.values import (
    first_document,
    loads,
    moment_of,
    number_of,
    percent_of,
    shortened,
    text_of,
    url_of,
)
from airflow_provider_wisdomgate.gateway.video import Video, means_something, moderation_error

LONGEST_RETRY_AFTER = 2 * 86400.0
LONGEST_LIST = 10

# Message, type and code.
Words = tuple[str, str, str]
NO_WORDS: Words = ("", "", "")


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
        """The body as JSON, or None if it is none."""
        return loads(self.body)

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-oneapi-request-id") or self.headers.get("x-request-id") or None


@dataclass(frozen=True)
class Page:
    """A part of a gateway's list. ``after`` asks for the next one; None if this is all."""

    videos: list[Video]
    after: str | None = None


def parse_video(reply: Reply) -> Video:
    """Read the video that was asked for: only its own object, from the gateway itself, decides what becomes of it.

    :raises UnexpectedReplyError: the answer is about another video, or from another host.
    :raises WisdomGateError: the typed error of any other answer.
    """
    found = _asked_object(reply) if reply.is_own else None
    video_id = reply.video_id or id_in(found)
    if found is None or video_id is None:
        raise error_of(reply)
    video = _video(found, video_id, reply)
    # vLLM-Omni answers a poll of a failed video with the error's status.
    is_its_failure = reply.status >= 400 and video.is_failed and found.get("object") == "video"
    if not 200 <= reply.status < 300 and not (is_its_failure and reply.video_id in _ids(found)):
        raise error_of(reply)
    return video


def parse_created(reply: Reply) -> Video:
    """Read the video that a create has brought.

    :raises WisdomGateError: the typed error, never one whose advice is about a video that is there already. An id in an
        answer that is not 2xx is its ``answered_id``: a person may adopt it, nobody else takes it.
    """
    body = first_document(reply.body) if reply.json is None else reply.json
    is_success = 200 <= reply.status < 300
    names = ID_NAMES if is_success and not _is_error(body) else SURE_ID_NAMES
    video_id = id_in(body, names)
    if is_success and video_id:
        found = next(each for each in _objects(body) if video_id in _ids(each))
        return _video(found, video_id, reply)
    error = error_of(reply)
    kind, advice, is_own_words = type(error), None, error.is_own_words
    if isinstance(error, errors.OutputModerationError):
        kind = errors.ModerationError  # there is no video that it could be about
    elif isinstance(error, errors.VideoNotFoundError | errors.VideoExpiredError):
        kind, advice = errors.BadRequestError, "Check the model, and the path in the connection's Base URL."
    elif isinstance(error, errors.VideoNotReadyError):
        kind = errors.GatewayFaultError
    if kind is not type(error):
        error = kind(error.message, next_step=advice, **error.facts)
    error.is_own_words, error.answered_id = is_own_words, video_id
    raise error


def named_id(answer: bytes) -> str | None:
    """Return the video id that an answer of unknown status names, None if it names none for sure."""
    return id_in(first_document(answer), SURE_ID_NAMES)


def parse_list(reply: Reply) -> list[Video]:
    """Read ``{"data": [video, ...]}`` or a bare list."""
    body = reply.json if isinstance(reply.json, list) else parse_object(reply).get("data")
    if reply.status >= 300 or not isinstance(body, list):
        raise error_of(reply)
    ids = ((item, id_in(item, SURE_ID_NAMES)) for item in body if isinstance(item, dict))
    return [_video(item, video_id, reply) for item, video_id in ids if video_id]


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
    """Raise the typed error for a content response that is not a video; without an error in it, "not ready"."""
    error = error_of(reply)
    if not reply.is_own:  # S3 answers 403 for an object that is not there yet if the caller may not list
        raise errors.VideoNotReadyError(error.message, **error.facts)
    # new-api answers "not completed yet" with a 400 that has no code of its own; a video object is no error at all.
    not_yet = reply.status in (202, 400) or (reply.status == 200 and _asked_object(reply) is not None)
    if not_yet and type(error) in (errors.BadRequestError, errors.UnexpectedReplyError):
        raise errors.VideoNotReadyError(error.message, **error.facts)
    raise error


def raise_address_error(reply: Reply) -> None:
    """Raise the typed error for an answer of the clip's own address that is not a video.

    Its words are a storage's, about itself. Only its status counts: for a fault, ask again; for all else, elsewhere.
    """
    passes = reply.status >= 500 or issubclass(_strangers_error(reply.status), errors.RateLimitedError)
    kind = errors.GatewayFaultError if passes or reply.status in (408, 425) else errors.UnexpectedReplyError
    raise kind(
        f"The clip's own address answered HTTP {reply.status} and no video",
        status=reply.status,
        video_id=reply.video_id,
        retry_after=retry_after_of(reply.headers, reply.at),
    )


def is_media(status: int, head: bytes) -> bool:
    """Whether a content answer counts as the clip: by its first bytes, whatever the header names.

    Text is none even if the header names ``video/mp4``; the box walk judges the rest.
    """
    if status != 200 or not head:
        return False
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return start not in (b"{", b"[", b"<", b'"', b"")


def error_of(reply: Reply) -> errors.GatewayError:
    """Make the typed error of a reply, from its words first and its status second.

    Only an answer in one of the gateway's own error shapes speaks for the gateway. A proxy's, an ingress's or an object
    store's page is a passing fault, whatever its status: it means nothing for the video, the key or its credit.
    """
    body = reply.json if reply.is_own and isinstance(reply.json, dict) else None
    spoken, own_kind, own_code = _words(body, OWN_SHAPE)
    message, kind, code = _words(body, ANY_SHAPE)
    upstream = spoken.partition(UPSTREAM_STATUS)[2][:3]
    status = int(upstream) if reply.status == 502 and upstream.isdecimal() else reply.status
    is_spoken = _speaks(reply, status, spoken, own_kind or own_code)
    by_status = _status_error(status) if is_spoken else _strangers_error(status)
    if by_status in (errors.BadRequestError, errors.UnexpectedReplyError):
        if reply.video_id and _says_unknown(reply.video_id, message, is_spoken):
            by_status = errors.VideoNotFoundError
        elif is_spoken or status not in FINAL_STATUSES:
            by_status = moderation_error(message, code, kind) or by_status
    error = _word_error(status, own_code) or _word_error(status, own_kind) or by_status
    made = error(
        message or _describe(reply),
        next_step=_hint(reply, message),
        status=reply.status,
        code=code or None,
        type=kind or None,
        request_id=reply.request_id,
        video_id=reply.video_id,
        retry_after=retry_after_of(reply.headers, reply.at),
    )
    made.is_own_words = _is_own_shape(reply, spoken, own_kind or own_code)
    return made


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


def id_in(body: Any, names: Sequence[str] = ID_NAMES) -> str | None:
    """Return the video id that a body names under the surest of the names."""

    def sureness(found: tuple[str, str]) -> float:
        name, text = found
        return len(SURE_ID_NAMES) - 0.5 if name == "id" and text.isdecimal() else names.index(name)

    found = [(name, text) for each in _objects(body) for name in names if (text := text_of(each.get(name)))]
    return min(found, key=sureness)[1] if found else None


def _objects(body: Any, depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that may be a video: the body itself, then those in the places of an envelope."""
    if isinstance(body, list):
        for item in body:
            if isinstance(item, dict):
                yield from _objects(item, depth)
    elif isinstance(body, dict):
        yield body
        for place in PLACES if depth else ():
            yield from _objects(body.get(place), depth - 1)


def _ids(body: Mapping[str, Any]) -> set[str]:
    return {text for name in ID_NAMES if name in body and (text := text_of(body[name]))}


def _has_id(body: Mapping[str, Any], video_id: str) -> bool:
    ids = _ids(body)
    return video_id in ids or _upstream_id(video_id) in set(map(_upstream_id, ids)) - {None}


def _upstream_id(video_id: str) -> str | None:
    """Return the provider and its id in an id of LiteLLM's, which gets further parts when it is polled (1.110.2)."""
    try:
        parts = base64.b64decode(f"{video_id.removeprefix('video_')}==").decode().split(";")
    except ValueError:
        return None
    known = [part for part in parts if part.startswith(("litellm:", "video_id:"))]
    return ";".join(known) if len(known) == 2 else None


def _asked_object(reply: Reply) -> Mapping[str, Any] | None:
    """Return the object of the video that was asked for, None if the answer has none.

    :raises UnexpectedReplyError: there is another video's object in its place.
    """
    if not isinstance(reply.json, dict):
        return None
    found = list(_objects(reply.json))
    if mine := [each for each in found if _ids(each) and (reply.video_id is None or _has_id(each, reply.video_id))]:
        # An envelope may repeat the id beside a status of its own.
        return next((each for each in mine if _status_of(each) and not _is_envelope(each)), mine[0])
    others = (id_in(each, SURE_ID_NAMES) for each in found if _status_of(each))
    # A bare integer is a row number, unless the ids that are asked for are integers, too.
    named = [other for other in others if other and (not other.isdecimal() or str(reply.video_id).isdecimal())]
    if named and 200 <= reply.status < 300:
        raise errors.UnexpectedReplyError(
            f"The gateway answered about video {named[0]}, which is not the one that was asked for",
            next_step="Check that the connection's Base URL is the gateway that made the video.",
            status=reply.status,
            request_id=reply.request_id,
            video_id=reply.video_id,
        )
    # Without an id, a failure is not believed of an object that does not even call itself a video.
    alike = (each for each in found if _looks_like_a_video(each))
    return next((each for each in alike if each.get("object") == "video" or not _has_failed_word(each)), None)


def _status_of(body: Mapping[str, Any]) -> str | None:
    for name in STATUS_NAMES:
        if text := text_of(body.get(name)):
            return text
    return None


def _status_word(body: Mapping[str, Any]) -> str:
    return (_status_of(body) or "").lower()


def _has_failed_word(body: Mapping[str, Any]) -> bool:
    return _status_word(body) in FAILED_WORDS


def _is_envelope(body: Mapping[str, Any]) -> bool:
    return any(body.get(name) is not None for name in ENVELOPE_FIELDS)


def _looks_like_a_video(body: Mapping[str, Any]) -> bool:
    status = _status_word(body)
    if body.get("object") == "video" and status:
        return True
    has_fields = any(body.get(name) is not None for name in VIDEO_FIELDS)
    return bool(status) and not _is_envelope(body) and (has_fields or status in WAITING_WORDS)


def _is_error(body: Any) -> bool:
    """Whether a 2xx body reports an error."""
    outer: Mapping[str, Any] = next(_objects(body), {})
    code = (text_of(outer.get("code")) or "").lower()
    has_error = any(each.get("error") for each in _objects(body))
    return has_error or code not in SUCCESS_CODES or outer.get("success") is False or _has_failed_word(outer)


def address_in(body: Any) -> str | None:
    """Return the clip's own address that an object names under the surest of the names: an http(s) URL."""
    return min(_addresses(body), key=lambda found: found[0], default=(0, None))[1]


def _addresses(body: Any, rank: int = len(ADDRESS_NAMES), depth: int = 4) -> Iterator[tuple[int, str]]:
    """Yield the addresses in a value, each with the rank of its name."""
    if isinstance(body, str) and (url := url_of(body)):
        yield rank, url
    elif isinstance(body, list) and depth:
        for item in body[:LONGEST_LIST]:
            yield from _addresses(item, rank, depth - 1)
    elif isinstance(body, dict) and depth:
        for number, name in enumerate(ADDRESS_NAMES):
            if isinstance(value := body.get(name), str | list):  # an object would be an input: {"video_url": {...}}
                yield from _addresses(value, number, 1)
        for place in ADDRESS_PLACES:
            yield from _addresses(body.get(place), len(ADDRESS_NAMES), depth - 1)


def _video(body: Mapping[str, Any], video_id: str, reply: Reply) -> Video:
    word, (message, kind, code) = _status_word(body), ("", "", "")
    if word in FAILED_WORDS:  # a video's own "type" names no error
        message, kind, code = _words({**body, "type": None}, ANY_SHAPE)
    elif body.get("error"):
        message, kind, code = _words({"error": body["error"]}, ANY_SHAPE)
    return Video(
        id=video_id,
        status=_status_of(body),
        model=text_of(body.get("model")),
        progress=percent_of(body.get("progress")),
        created_at=moment_of(body.get("created_at")),
        completed_at=moment_of(body.get("completed_at")),
        expires_at=moment_of(body.get("expires_at")),
        seconds=text_of(body.get("seconds")),
        size=text_of(body.get("size")),
        remixed_from_video_id=text_of(body.get("remixed_from_video_id")),
        error_code=next((each for each in (code, kind) if each and means_something(each)), code or kind) or None,
        error_message=message or None,
        prompt=text_of(body.get("prompt")),
        request_id=reply.request_id,
        address=address_in(body) if word in DONE_WORDS else None,
    )


def _words(body: Any, shape: Shape, depth: int = 6) -> Words:
    """Find message, type and code of an error or a failed video; empty strings if there is none.

    An error object comes before the names of the object around it, and these come before what is nested elsewhere.
    """
    if isinstance(body, str):
        wrapped = loads(body) if body.lstrip()[:1] in ("{", "[") else None  # new-api: the upstream's own JSON, as text
        inner = _words(wrapped, shape, depth - 1) if isinstance(wrapped, dict | list) and depth else NO_WORDS
        return inner if any(inner) else (shortened(body), "", "")
    if isinstance(body, list) and depth:
        return _joined([_words(item, shape, depth - 1) for item in body[:LONGEST_LIST]])
    if not isinstance(body, dict) or not depth:
        return NO_WORDS
    around = [body, body["data"]] if isinstance(body.get("data"), dict) else [body]
    found = [_words(each[name], shape, depth - 1) for each in around for name in shape.errors if each.get(name)]
    found.append(_own_words(body, shape, depth))
    found += [_words(body[name], shape, depth - 1) for name in shape.places if isinstance(body.get(name), dict | list)]
    return _surest(found)


def _own_words(body: Mapping[str, Any], shape: Shape, depth: int) -> Words:
    message, inner = "", NO_WORDS
    for name in shape.reasons:
        if not body.get(name):
            continue
        inner = _words(value := body[name], shape, depth - 1)
        message = inner[0] or shortened(value)
        if message.lower() not in SUCCESS_CODES:
            break
        message = ""
    details = body.get(MODERATION_DETAILS)
    if isinstance(details, dict) and (stage := text_of(details.get(MODERATION_STAGE))):
        message = f"{message} (moderation of the {stage})".strip()
    if isinstance(body.get("loc"), list) and message:  # FastAPI names the field
        message = f"{'.'.join(map(str, body['loc']))}: {message}"
    codes = (code for name in shape.codes if (code := text_of(body.get(name)) or "").lower() not in SUCCESS_CODES)
    return message, inner[1] or _type_of(body), inner[2] or next(codes, "")


def _joined(found: Sequence[Words]) -> Words:
    _, kind, code = _surest(found)
    return shortened("; ".join(message for message, *_ in found if message)), kind, code


def _surest(found: Sequence[Words]) -> Words:
    """Take the first message, and its type and code; those of another one if it has neither."""
    message, kind, code = next((words for words in found if words[0]), NO_WORDS)
    if not kind and not code:
        _, kind, code = next((words for words in found if words[1] or words[2]), NO_WORDS)
    return message, kind, code


def _type_of(error: Mapping[str, Any]) -> str:
    """Return an error's type, unless it is a URI: RFC 9457 has those, and any proxy may speak it."""
    kind = text_of(error.get("type")) or ""
    return "" if kind.startswith("about:") or "://" in kind else kind


def _status_error(status: int) -> type[errors.GatewayError]:
    if status >= 500:
        return errors.GatewayFaultError
    return STATUS_ERRORS.get(status, errors.BadRequestError if status >= 400 else errors.UnexpectedReplyError)


def _speaks(reply: Reply, status: int, message: str, word: str) -> bool:
    """Whether an answer is in one of the gateway's own shapes.

    Ingresses answer {"message": "Not Found"} and {"detail": ...}, too: if that would be final, it takes an error object
    or a word.
    """
    if status not in FINAL_STATUSES:
        return bool(message or word)
    return bool(word) or (isinstance(reply.json, dict) and bool(reply.json.get("error")) and bool(message))


def _is_own_shape(reply: Reply, message: str, word: str) -> bool:
    """Whether an error is in a shape of the gateway's own, which a create's fate may depend on."""
    if reply.status in FILTERS_STATUSES and isinstance(reply.json, dict):
        return bool(word) or isinstance(reply.json.get("error"), dict)
    return bool(message or word)


def _strangers_error(status: int) -> type[errors.GatewayError]:
    """Name what an answer means that is in none of the gateway's own shapes."""
    if status in ANYBODYS_STATUSES:
        return STATUS_ERRORS[status]
    return errors.GatewayFaultError if status >= 500 or status == 408 else errors.UnexpectedReplyError


def _word_error(status: int, word: str) -> type[errors.GatewayError] | None:
    if status in PAYMENT_STATUSES:
        return _not_of_a_video(ERROR_WORDS.get(word.lower()))
    error = ERROR_WORDS.get(word.lower()) or moderation_error("", word)
    return _not_of_a_video(error) if status in KEYS_STATUSES else error


def _not_of_a_video(error: type[errors.GatewayError] | None) -> type[errors.GatewayError] | None:
    return None if error and issubclass(error, VIDEOS_ERRORS) else error


def _says_unknown(video_id: str, message: str, is_spoken: bool) -> bool:
    """Whether an answer to a question about a video states in a sentence that there is none."""
    text = message.lower()
    if not any(phrase in text for phrase in UNKNOWN_VIDEO_PHRASES):
        return False
    is_about_it = video_id in message or any(noun in text for noun in VIDEO_NOUNS)
    return is_about_it or (is_spoken and not any(noun in text for noun in OTHER_NOUNS))


def _describe(reply: Reply) -> str:
    if not reply.body:
        kind = "an empty body"
    elif reply.body.lstrip()[:1] == b"<":
        kind = "an HTML page"
    else:
        kind = f"{reply.headers.get('content-type', 'content of no type')}, which is not an answer of a video API"
    who = "The gateway" if reply.is_own else "After a redirect, another host"
    return f"{who} answered HTTP {reply.status} with {kind}"


def _hint(reply: Reply, message: str) -> str | None:
    if reply.status == 405 or message.startswith(NO_SUCH_ROUTE):
        return "This gateway does not offer that; docs/gateways.md tells which calls each gateway has."
    if 300 <= reply.status < 400 and (location := reply.headers.get("location")):
        place = location.partition("?")[0].partition("#")[0]
        return f"It redirects to {place}: set the connection's Base URL to the right address."
    return None
