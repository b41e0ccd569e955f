"""A video's bytes as they come from the gateway: where they begin, how many there are, what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import requests

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.encodings import decoder_of
from airflow_provider_wisdomgate.gateway.transport import typed_errors

CHUNK = 1024 * 1024


class Content:
    """A video's bytes as they come, decoded. ``offset`` is where they begin, ``total`` the whole size if it is said.

    ``validator`` is the strong ETag of what they are of; None where there is none, and where they came encoded: then
    nothing can be appended to them later.
    """

    def __init__(self, response: requests.Response, wanted_offset: int) -> None:
        self._response = response
        headers = response.headers
        self.content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_encoded = decoder_of(headers.get("content-encoding"), response.status_code).is_encoded
        if is_encoded and response.status_code == 206:
            raise errors.ContentError("The gateway answered a range request with a range of something encoded.")
        etag = headers.get("etag", "")
        self.validator = etag if etag.startswith('"') and not is_encoded else None
        self.offset, total = extent_of(response.status_code, headers, wanted_offset)
        self.total = None if is_encoded else total
        self._pieces = pieces_of(response)
        self.head = next(self._pieces, b"")

    def read_all(self, size: int) -> bytes:
        """Read at most ``size`` bytes; what is more than that is left unread."""
        return _joined(self.chunks(), size)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes.

        :raises ConnectionBrokenError: the connection broke or stalled, or ended before ``total``.
        """
        if self.head:
            yield self.head
        yield from self._pieces

    def interrupt(self) -> None:
        """End a read that waits for bytes; safe to call from a signal handler, and when all is read."""
        raw = self._response.raw
        try:
            getattr(raw, "shutdown", raw.close)()
        except (OSError, RuntimeError, ValueError):  # it is over already: there is nothing to shut down
            raw.close()


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


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """Yield a body's decoded bytes, at most a mebibyte at once.

    :raises ConnectionBrokenError: the connection broke or stalled, or the body ended in the middle of its encoding.
    """
    decoder = decoder_of(response.headers.get("content-encoding"), response.status_code)
    while data := _read(response):
        yield from decoder.feed(data)
    decoder.finish()


class Unshown(bytearray):
    """Bytes without a repr: a gateway may quote the key, and error reporters show the reprs of local variables."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def read_body(
    response: requests.Response, size: int, redact: Callable[[bytes], bytes]
) -> tuple[bytes, errors.WisdomGateError | None]:
    """Read at most ``size`` bytes of a body, decoded, and return what came of it with the error that ended it, if any.

    A body of which nothing can be decoded is returned as it came.

    :param redact: takes the key out of what is returned.
    """
    raw, body, broken = Unshown(), Unshown(), None
    try:
        while len(raw) < size and (data := _read(response)):
            raw += data
    except errors.WisdomGateError as error:
        broken = error
    try:
        decoder = decoder_of(response.headers.get("content-encoding"), response.status_code)
        for piece in decoder.feed(bytes(raw)):
            body += piece
            if len(body) >= size:
                return redact(bytes(body[:size])), broken
        decoder.finish()
    except errors.WisdomGateError as error:
        broken = broken or error
    return redact(bytes(body or raw)), broken


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
