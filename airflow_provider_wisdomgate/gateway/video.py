"""The gateway's video object, and the error of one that failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.dialects import (
    BAD_INPUT_WORDS,
    DONE_WORDS,
    ERROR_WORDS,
    FAILED_WORDS,
    INPUT_WORDS,
    MODERATION_WORDS,
    NO_MODERATION_WORDS,
    OUTPUT_WORDS,
    WAITING_WORDS,
)
from airflow_provider_wisdomgate.gateway.values import number_of, text_of

CORRECT_IT = "Correct the request (prompt, image, seconds, size or fields): the same request fails again."

UNRECORDED = ("prompt", "address")
TIMES = ("created_at", "completed_at", "expires_at")


@dataclass(frozen=True)
class Video:
    """The gateway's video object; what it did not report is None.

    :param id: what every later call names it by.
    :param status: the gateway's word as it came.
    :param model: the model that makes it.
    :param progress: 0 to 100, as the gateway reports it; it decides nothing.
    :param created_at: epoch seconds.
    :param completed_at: epoch seconds.
    :param expires_at: epoch seconds: so long the gateway keeps the content.
    :param seconds: the clip's length, as the gateway words it.
    :param size: ``WIDTHxHEIGHT`` in pixels.
    :param remixed_from_video_id: the video that this one is another version of.
    :param error_code: of a failed video, the gateway's word.
    :param error_message: of a failed video, the gateway's reason.
    :param prompt: the text that was sent, if the gateway repeats it.
    :param request_id: of the answer, for the gateway's support.
    :param address: the clip's own address in a finished object: an http(s) URL, perhaps signed, so never in a record.
    """

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
    address: str | None = field(default=None, repr=False)

    @property
    def is_done(self) -> bool:
        return (self.status or "").lower() in DONE_WORDS

    @property
    def is_failed(self) -> bool:
        return (self.status or "").lower() in FAILED_WORDS

    @property
    def is_known_word(self) -> bool:
        return self.is_done or self.is_failed or (self.status or "").lower() in WAITING_WORDS

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types for XCom and trigger events, without the prompt and the address."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in UNRECORDED}

    @classmethod
    def from_dict(cls, values: Any) -> Video | None:
        """Make the video again that :meth:`as_dict` described, None if that is none."""
        if not isinstance(values, Mapping) or not isinstance(values.get("id"), str) or not values["id"]:
            return None
        numbers = {name: number_of(values.get(name)) for name in ("progress", *TIMES)}
        texts = {f.name: text_of(values.get(f.name)) for f in fields(cls) if f.name not in (*numbers, "address")}
        return cls(**texts, **numbers)  # type: ignore[arg-type]


def failure_of(video: Video, *, may_recreate: bool) -> errors.GatewayError:
    """Make the typed error of a failed video.

    :param may_recreate: whether who waits can make another one, so that a task retry may help.
    """
    word = (video.error_code or "").lower()
    moderated = moderation_error(video.error_message or "", word)
    error, next_step = ERROR_WORDS.get(word) or moderated or errors.VideoFailedError, None
    if (video.status or "").lower() == "expired":
        error = errors.VideoExpiredError
    if not issubclass(error, errors.ModerationError | errors.VideoExpiredError):
        final = not may_recreate or word in BAD_INPUT_WORDS
        error = errors.VideoFailedForGoodError if final else errors.VideoFailedError
        next_step = CORRECT_IT if word in BAD_INPUT_WORDS else None
    reason = video.error_message or "no reason given"
    return error(
        f"The gateway reports the video as {video.status}: {reason}",
        next_step=next_step,
        code=video.error_code,
        video_id=video.id,
        request_id=video.request_id,
        expires_at=video.expires_at,
    )


def missing_content(video: Video, error: errors.GatewayError, *, may_recreate: bool) -> errors.GatewayError:
    """Return the typed error of content that answers 404: not there yet, expired, or failed, by the video's status.

    :param may_recreate: see :func:`failure_of`.
    """
    facts = {**error.facts, "expires_at": video.expires_at}
    was_moderated = isinstance(error, errors.ModerationError)
    if (video.status or "").lower() == "expired":  # expires_at proves nothing, and a proxy's 404 neither
        return errors.VideoExpiredError("The clip's time at the gateway is over", **facts)
    if video.is_failed:
        has_reason = video.error_code or video.error_message or not was_moderated
        told = video if has_reason else replace(video, error_code=error.code, error_message=error.message)
        return failure_of(told, may_recreate=may_recreate)
    if video.is_done and was_moderated:
        reason = f"The video is {video.status}, and its gateway's moderation withholds the content: {error.message}"
        return errors.ContentModeratedError(reason, **facts)
    if video.is_done:
        return errors.ContentMissingError(f"The video is {video.status}, its content is not there", **facts)
    return errors.VideoNotReadyError(f"The video is {video.status}, its content is not there", **facts)


def moderation_error(message: str, *words: str) -> type[errors.ModerationError] | None:
    """Return what moderation refused, None if these words are not about moderation.

    :param words: code and type, which are surer than the message.
    """
    code, text = _plain(" ".join(words)), _plain(message)
    if not any(word in code or word in text for word in MODERATION_WORDS):
        return None
    for said in (code, text):
        if any(word in said for word in INPUT_WORDS):
            return errors.ModerationError
        if any(word in said for word in OUTPUT_WORDS):
            return errors.OutputModerationError
    return errors.ModerationError


def _plain(text: str) -> str:
    plain = "".join(filter(str.isalnum, text[:1000].lower()))
    for innocent in NO_MODERATION_WORDS:
        plain = plain.replace(innocent, " ")
    return plain


def means_something(word: str) -> bool:
    """Whether a code or type means more than that something failed."""
    return word.lower() in ERROR_WORDS or moderation_error("", word) is not None
