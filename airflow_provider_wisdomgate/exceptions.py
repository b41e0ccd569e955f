"""Every error this package raises on purpose, and what Airflow does with it.

    AirflowException
    └── WisdomGateError                  a task retry may help
        ├── ConfigurationError        x  an argument, the connection or an option is wrong; its request was not sent
        │   └── WrongGatewayError     x  the connection leads to another gateway than the one that made the video
        ├── UnreachableError          ~  no connection could be made: the request surely never arrived
        ├── ConnectionBrokenError     ~  the connection broke or stalled: the request may have arrived
        ├── BalanceTooLowError        x  the account has less than min_balance; no create was sent
        ├── GatewayError                 the gateway answered, with an error
        │   ├── AuthenticationError   x  401
        │   ├── PermissionDeniedError x  402, 403, quota used up, model not allowed for this key
        │   ├── BadRequestError       x  400, 405, 413, 422: the request itself is wrong
        │   ├── ModerationError       x  refused by moderation: the input, or nobody knows what
        │   │   └── OutputModerationError    x  the video that was made; another one may pass
        │   │       └── ContentModeratedError  x  the video is finished, and moderation withholds its content
        │   ├── ModelNotFoundError    x  the model is gone
        │   ├── VideoNotFoundError    x  404: no such video at this gateway
        │   ├── VideoExpiredError     x  the clip is past its time at the gateway, for good
        │   ├── RateLimitedError      ~  429
        │   ├── VideoNotReadyError    ~  the content is not there yet
        │   │   └── ContentMissingError  ~  the video is finished, and its content is not there
        │   ├── GatewayFaultError     ~  408, 5xx
        │   ├── UnexpectedReplyError  ~  a reply that is none of the documented shapes
        │   └── VideoFailedError         the gateway gave up on the video; a new create may succeed
        │       └── VideoFailedForGoodError  x  the same, if nothing may be created anew
        ├── LostCreateError           x  a create may have arrived, its video id is not known
        ├── WaitTimeoutError             the deadline passed; the video goes on at the gateway
        ├── ContentError              ~  what came is no whole video
        ├── StorageError                 the storage refused
        ├── StoppedError                 the task was asked to stop
        ├── UnfitRepairError             a person's repair does not fit the record (any more): nothing was changed
        └── DestinationTakenError     x  something else is at the destination
            └── DamagedManifestError  x  the record beside the clip cannot be read

    x  also an AirflowFailException: Airflow ends the task at once, a retry cannot help
    ~  transient: the same call may succeed later

No layer translates these errors: a hook in ``@task``, an operator and a sensor raise the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_wisdomgate.foreign import printable

FACTS = ("status", "code", "type", "request_id", "video_id", "retry_after", "expires_at", "answer", "answered_id")
LONGEST_WORD = 200  # a gateway's code of 60 KB would be in every event and log line


class WisdomGateError(AirflowException):
    """Base of all errors of this package.

    :param message: what happened, one sentence.
    :param next_step: what a person does about it; left out, that of the class, if it has one.
    :param facts: any of ``status`` (HTTP), ``code`` and ``type`` (the gateway's words), ``request_id``,
        ``video_id``, ``retry_after`` (seconds), ``expires_at`` (epoch seconds), of a create's answer ``answer`` (its
        text, redacted and bounded) and ``answered_id`` (a video id in an answer that is not 2xx). Unset ones read None.
    """

    is_transient = False
    next_step: str | None = None
    status: int | None = None
    code: str | None = None
    type: str | None = None
    request_id: str | None = None
    video_id: str | None = None
    retry_after: float | None = None
    expires_at: float | None = None
    answer: str | None = None
    answered_id: str | None = None
    is_own_words = False
    """Whether the answer was in the gateway's own error shape. It decides within one exchange and does not travel."""

    def __init__(self, message: str, *, next_step: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        if unknown := set(facts) - set(FACTS):
            raise TypeError(f"{type(self).__name__} takes no {', '.join(sorted(unknown))}")
        self.message = message
        if next_step:
            self.next_step = str(next_step)
        for name, value in facts.items():
            setattr(self, name, str(value)[:LONGEST_WORD] if name in ("code", "type") and value else value)

    @property
    def facts(self) -> dict[str, Any]:
        """The known facts, as plain JSON types."""
        return {name: value for name in FACTS if (value := getattr(self, name)) is not None}

    def __str__(self) -> str:
        labels = {"status": "HTTP", "code": "code", "request_id": "request", "video_id": "video"}
        known = [f"{label} {getattr(self, name)}" for name, label in labels.items() if getattr(self, name) is not None]
        parts = (
            self.message if self.message.endswith((".", "!", "?")) else f"{self.message}.",
            f"({', '.join(known)})" if known else "",
            self._evidence(),
            self.next_step or "",
        )
        return printable(" ".join(part for part in parts if part))

    def _evidence(self) -> str:
        named = f"Its answer names the id {self.answered_id}." if self.answered_id else ""
        shown = f"The gateway answered: {self.answer}" if self.answer else ""
        return f"{named} {shown}".strip()

    def advise(self, text: str, *, replace: bool = False) -> Self:
        """Append a sentence to ``next_step``, or put it in its place, and return this error."""
        self.next_step = text if replace or not self.next_step else f"{self.next_step} {text}"
        return self

    def reword(self, by: Callable[[str], str]) -> None:
        """Put what a function makes of them in the place of all texts."""
        for name in ("message", "next_step", *FACTS):
            if isinstance(text := getattr(self, name), str) and (new := by(text)) != text:
                setattr(self, name, new)
        self.args = (self.message,)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types that :func:`from_dict` makes this error of again."""
        return {"error": type(self).__name__, "message": self.message, "next_step": self.next_step, **self.facts}

    def __reduce__(self) -> tuple[Any, ...]:
        return from_dict, (self.as_dict(),)


class ConfigurationError(WisdomGateError, AirflowFailException):
    """An argument, the connection or an option is wrong. The request was not sent; an earlier one may have been."""


class WrongGatewayError(ConfigurationError):
    """The connection leads to another gateway than the one that made the video. Nothing was sent there."""


class UnreachableError(WisdomGateError):
    """No connection to the gateway could be made, so the request surely never arrived."""

    is_transient = True
    next_step = "Check the connection's Base URL, its proxy and TLS settings, and that the gateway is up."


class ConnectionBrokenError(WisdomGateError):
    """The connection broke or stalled after it was made. The request may have arrived."""

    is_transient = True


class BalanceTooLowError(WisdomGateError, AirflowFailException):
    """The account has less than ``min_balance``: no create was sent."""

    next_step = "Add credit at the gateway, or lower min_balance (of the task, or the connection's extra)."


class GatewayError(WisdomGateError):
    """The gateway answered, with an error."""

    is_hearsay = False
    """Whether missing content is not the word of the gateway's content route: then it gives no video up. Not kept."""


class AuthenticationError(GatewayError, AirflowFailException):
    """401. The gateway does not take the key."""

    next_step = (
        "Put a valid key into the connection's API key (password) field; "
        "some gateways give the same answer for an expired or used-up key."
    )


class PermissionDeniedError(GatewayError, AirflowFailException):
    """402, 403, or the key's quota is used up."""

    next_step = "Check at the gateway that the key has credit left and may use this model."


class BadRequestError(GatewayError, AirflowFailException):
    """400, 405, 413, 422. The request itself is wrong: the same request fails again."""

    next_step = "Correct the task's arguments (model, prompt, seconds, size, input_reference, fields)."


class ModerationError(GatewayError, AirflowFailException):
    """Refused by the gateway's moderation, at create or later."""

    next_step = "Change the prompt or the reference image; the same request is refused again."


class OutputModerationError(ModerationError):
    """Moderation refused the video that was made, which is partly a matter of chance."""

    next_step = (
        'Clear the task to ask for another video and pay for it, or set on_moderated_output="retry", or change the '
        "prompt. The gateway's usage page tells whether this one was paid for."
    )


class ContentModeratedError(OutputModerationError):
    """The video is finished, and moderation withholds its content. The video itself has not failed."""

    next_step = "Ask the gateway about it, or give this video up and create another one, which is paid again."


class ModelNotFoundError(GatewayError, AirflowFailException):
    """The gateway does not serve this model (any more)."""

    next_step = "Pick a model that the gateway lists at GET /v1/models."


class VideoNotFoundError(GatewayError, AirflowFailException):
    """404. The gateway knows no such video."""

    next_step = "Check the video id, and that the connection is the one the video was created with."


class VideoExpiredError(GatewayError, AirflowFailException):
    """The clip was made and paid for, and is gone at the gateway."""

    next_step = "It was paid for and cannot be fetched any more. Only a new create makes it again, and costs again."


class RateLimitedError(GatewayError):
    """429. ``retry_after`` is what the gateway asked for, in seconds, or None."""

    is_transient = True
    next_step = "Set 'Polls per minute' (requests_per_minute) on the connection, or run fewer tasks at once."


class VideoNotReadyError(GatewayError):
    """The content is not there yet."""

    is_transient = True
    next_step = "Wait for the video first (WisdomGateVideoSensor), then download it."


class ContentMissingError(VideoNotReadyError):
    """The video is finished, and its content is not there: not yet, or not any more."""

    next_step = "Try the download again later: gateways may list a video as finished before its content is there."


class GatewayFaultError(GatewayError):
    """408 or 5xx. A fault at the gateway or behind it."""

    is_transient = True


class UnexpectedReplyError(GatewayError):
    """A reply in none of the documented shapes: HTML, an empty body, JSON of another kind."""

    is_transient = True
    next_step = "Check that the connection's Base URL is the gateway's API."


class VideoFailedError(GatewayError):
    """The gateway gave up on the video. A new create may succeed."""

    next_step = (
        "A retry or a clear of the task asks for a new video, and pays for it. The gateway's usage page tells whether "
        "this one was paid for."
    )


class VideoFailedForGoodError(VideoFailedError, AirflowFailException):
    """The gateway gave up on the video, and whoever waits for it cannot make another."""

    next_step = (
        "To make another video, clear the task that creates. The gateway's usage page tells whether this one was paid."
    )


class LostCreateError(WisdomGateError, AirflowFailException):
    """A create may have arrived and been paid for, but its video id is not known. It is never sent twice."""

    next_step = (
        "See on the gateway's usage page whether a video was made at that time. For a generate task's clip, "
        "`wisdomgate clips adopt` then records its id. `wisdomgate clips forget` lets the task create again, and "
        "perhaps pay twice."
    )


class WaitTimeoutError(WisdomGateError):
    """The time was over before the video was finished. The video goes on at the gateway."""


class ContentError(WisdomGateError):
    """The download did not bring a whole video: an error page, a cut or empty body, another kind of file."""

    is_transient = True


class StorageError(WisdomGateError):
    """The storage refused to read or write."""


class StoppedError(WisdomGateError):
    """The task was asked to stop; nothing half-written is left."""


class UnfitRepairError(WisdomGateError):
    """A person's repair does not fit the record, or not any more. Nothing was changed."""


class DestinationTakenError(WisdomGateError, AirflowFailException):
    """Something else is at the destination, and ``if_exists`` leaves it."""


class DamagedManifestError(DestinationTakenError):
    """The record beside the clip cannot be read."""


def from_dict(fields: dict[str, Any]) -> WisdomGateError:
    """Make the error again that :meth:`WisdomGateError.as_dict` described; an unknown name gives the base class."""
    kind = globals().get(str(fields.get("error")))
    if not (isinstance(kind, type) and issubclass(kind, WisdomGateError)):
        kind = WisdomGateError
    facts = {name: fields[name] for name in FACTS if fields.get(name) is not None}
    return kind(str(fields.get("message")), next_step=fields.get("next_step"), **facts)
