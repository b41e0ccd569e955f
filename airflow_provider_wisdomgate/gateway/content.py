"""A video's bytes as they come: which source has them, where they begin, how many there are, what they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import requests

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.dialects import NOT_SERVED_STATUSES
from airflow_provider_wisdomgate.gateway.exchange import Received
from airflow_provider_wisdomgate.gateway.replies import is_media
from airflow_provider_wisdomgate.gateway.transport import CHUNK, typed_errors
from airflow_provider_wisdomgate.gateway.video import Video, missing_content
from airflow_provider_wisdomgate.gateway.wire import CONTAINER, Decoder, Unshown, encodings_of

# If the content route answers so, the video's own object decides.
ASK_THE_VIDEO = (errors.VideoNotFoundError, errors.VideoExpiredError, errors.ModerationError, errors.VideoFailedError)
# So it may refuse a clip that it does not serve, in whatever words, besides the statuses of NOT_SERVED_STATUSES.
NOT_SERVED = (*ASK_THE_VIDEO, errors.AuthenticationError, errors.PermissionDeniedError)
# The address of a clip is asked for so often in a row: a gateway may repeat one whose signature has expired.
ADDRESSES = 2

log = logging.getLogger(__name__)


class Content:
    """A video's bytes as they come, decoded. ``offset`` is where they begin, ``total`` the announced size.

    ``validator`` is the strong ETag of what they are of; None if there is none, and if they came encoded: then
    nothing can be appended to them later. ``host`` is where they come from, None for the gateway's own.

    :raises ContentError: what came is another range than the wanted one, or a range of something encoded.
    """

    def __init__(self, response: requests.Response, wanted_offset: int, *, is_own: bool = True) -> None:
        self._response = response
        self.host = None if is_own else urlsplit(response.url).netloc.rpartition("@")[2]
        headers = response.headers
        self.content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self.offset, total = extent_of(response.status_code, headers, wanted_offset)
        self._first = _read(response)
        self._decoder, self.head, self._rest = self._begin(encodings_of(headers))
        if self._decoder and response.status_code == 206:
            raise errors.ContentError("The gateway answered a range request with a range of something encoded.")
        etag = headers.get("etag", "")
        self.validator = etag if etag.startswith('"') and not self._decoder else None
        self.total = None if self._decoder else total

    def _begin(self, names: list[str]) -> tuple[Decoder | None, bytes, Iterator[bytes]]:
        """Choose what decodes the bytes: nothing if they are a clip as they are, whatever the header names."""
        self.is_readable = True
        with suppress(errors.ContentError, errors.UnexpectedReplyError):
            if len(names) == 1:
                decoder = Decoder(names[0])
                pieces = decoder.feed(self._first)
                return decoder, next(pieces, b""), pieces
        self.is_readable = not names or self.offset > 0 or bool(CONTAINER.match(self._first))
        return None, self._first, iter(())

    @property
    def is_media(self) -> bool:
        """Whether this counts as the clip. Only the beginning of a range differs from text."""
        if self._response.status_code == 206:
            return self.is_readable
        return self.is_readable and is_media(self._response.status_code, self.head)

    def received(self, is_own: bool, most: int) -> Received:
        """Return the answer, if it is no video, as it came: ``most`` bytes of it."""
        body, error = raw_body(self._response, most - len(self._first))
        return Received(self._response.status_code, self._response.headers, self._first + body, is_own, error)

    def read_all(self, size: int) -> bytes:
        """Read at most ``size`` bytes; what is more than that is left unread."""
        return _joined(self.chunks(), size)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes.

        :raises ConnectionBrokenError: the connection broke or stalled, or ended before ``total``.
        """
        if self.head:
            yield self.head
        yield from self._rest
        while data := _read(self._response):
            yield from self._decoder.feed(data) if self._decoder else (data,)
        if self._decoder:
            self._decoder.finish()

    def interrupt(self) -> None:
        """End a read that waits for bytes; safe to call from a signal handler, and when all is read."""
        raw = self._response.raw
        try:
            getattr(raw, "shutdown", raw.close)()
        except (OSError, RuntimeError, ValueError):  # it is over already: there is nothing to shut down
            raw.close()


def open_a_source(
    source: str, open_at: Callable[[str | None], Content], get_video: Callable[[], Video], *, may_recreate: bool
) -> Content:
    """Open a clip at the content route or, if that does not serve it, at the address that its video's object names.

    :param source: the connection's ``content_from``.
    :param open_at: opens an address, or the content route for None.
    :param get_video: polls the video.
    :param may_recreate: see :func:`gateway.video.failure_of`.
    :raises GatewayError: the route's, or the typed error of the video's own object.
    """
    refusal = None
    if source != "address":
        try:
            return open_at(None)
        except errors.GatewayError as error:
            refusal = error
            is_not_served = isinstance(error, NOT_SERVED) or error.status in NOT_SERVED_STATUSES
            if not isinstance(error, ASK_THE_VIDEO) and (source == "route" or not is_not_served):
                raise
    try:
        video = get_video()
    except errors.WisdomGateError:
        if refusal is not None and refusal.is_transient:
            raise refusal from None
        raise
    if source != "route" and video.is_done and (video.address or refusal is None):
        return _open_address(video, refusal, open_at, get_video, may_recreate)
    if refusal is not None and not isinstance(refusal, ASK_THE_VIDEO):
        raise refusal
    raise missing_content(video, refusal or _no_address(), may_recreate=may_recreate) from refusal


def _open_address(
    video: Video,
    refusal: errors.GatewayError | None,
    open_at: Callable[[str | None], Content],
    get_video: Callable[[], Video],
    may_recreate: bool,
) -> Content:
    """Open the address that the gateway has just named.

    :param refusal: the content route's; None if it was not asked.
    :raises ContentMissingError: the address does not serve the clip. Hearsay, unless the route reported it, too.
    """
    is_missing = isinstance(refusal, ASK_THE_VIDEO)
    why: errors.WisdomGateError = _no_address()
    for turn in range(ADDRESSES):
        video = get_video() if turn else video
        if not video.is_done or not video.address:
            break
        try:
            content = open_at(video.address)
        except errors.UnexpectedReplyError as error:
            why = error
        except errors.UnreachableError as error:
            if not is_missing:
                raise
            why = error  # the route may have the content later, and that is worth more patience
        else:
            log.info("Video %s: its clip comes from its own address, at %s", video.id, content.host or "the gateway")
            return content
    missing = missing_content(video, refusal or _no_address(), may_recreate=may_recreate)
    missing.message, missing.is_hearsay = f"{missing.message}. {why.message}", not is_missing
    raise missing from refusal


def _no_address() -> errors.UnexpectedReplyError:
    return errors.UnexpectedReplyError('Its object names no address of the clip, and content_from is "address"')


def extent_of(status: int, headers: Mapping[str, str], wanted_offset: int) -> tuple[int, int | None]:
    """Read where an answer's bytes begin and how many there are in all."""
    if status == 206:
        unit, _, rest = headers.get("content-range", "").strip().partition(" ")
        span, _, total = rest.partition("/")
        start = span.partition("-")[0]
        if unit.lower() != "bytes" or _count(start) != wanted_offset:
            raise errors.ContentError("The gateway answered a range request with another range.")
        return wanted_offset, _count(total.strip())
    return 0, _count(headers.get("content-length", ""))


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None  # int() raises beyond 4300


def raw_body(response: requests.Response, most: int) -> tuple[Unshown, errors.WisdomGateError | None]:
    """Read at most ``most`` bytes of a body as they come, and return them with the error that ended it, if any."""
    raw = Unshown()
    try:
        while len(raw) < most and (data := _read(response)):
            raw += data
    except errors.WisdomGateError as error:
        return raw, error
    del raw[most:]
    return raw, None


def _joined(pieces: Iterator[bytes], size: int) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) >= size:
            break
    return bytes(body[:size])


def _read(response: requests.Response) -> bytes:
    with typed_errors():
        data: bytes = response.raw.read(CHUNK)
    return data
