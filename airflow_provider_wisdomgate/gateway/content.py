"""A video's bytes as they come from the gateway: where they begin, how many there are, what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import requests

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.transport import (
    typed_errors,
)

CHUNK = 1024 * 1024


class Content:
    """A video's bytes as they come. ``offset`` is where they begin, ``total`` the whole size if it is said."""

    def __init__(self, response: requests.Response, wanted_offset: int) -> None:
        self._response = response
        headers = response.headers
        self.content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        etag = headers.get("etag", "")
        self.validator = etag if etag.startswith('"') else None
        self.offset, self.total = extent_of(response.status_code, headers, wanted_offset)
        self.head = read_body(response, CHUNK)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes.

        :raises ConnectionBrokenError: the connection broke or stalled, or ended before ``total``.
        """
        data = self.head
        while data:
            yield data
            data = read_body(self._response, CHUNK)

    def interrupt(self) -> None:
        """End a read that waits for bytes; safe to call from a signal handler."""
        getattr(self._response.raw, "shutdown", self._response.raw.close)()


def extent_of(status: int, headers: Mapping[str, str], wanted_offset: int) -> tuple[int, int | None]:
    """Read where an answer's bytes begin and how many there are in all."""
    if status == 206:
        unit, _, rest = headers.get("content-range", "").partition(" ")
        span, _, total = rest.partition("/")
        start = span.partition("-")[0]
        if unit != "bytes" or _count(start) != wanted_offset:
            raise errors.ContentError("The gateway answered a range request with another range.")
        return wanted_offset, _count(total)
    return 0, _count(headers.get("content-length", ""))


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None  # int() raises beyond 4300 digits


def read_body(response: requests.Response, size: int) -> bytes:
    """Read at most ``size`` bytes; none at the end.

    :raises ConnectionBrokenError: the connection broke or stalled.
    """
    with typed_errors():
        data: bytes = response.raw.read(size)
    return data
