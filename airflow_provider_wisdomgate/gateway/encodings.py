"""Decodes an answer that arrives encoded although it was asked for as it is, a bounded piece at a time. Pure.

gzip and deflate always; brotli and zstd where a library that can bound a piece is installed (urllib3 uses the same).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors

brotli: Any = None
zstd: Any = None
with suppress(ImportError):
    import brotli  # type: ignore[no-redef,unused-ignore]
with suppress(ImportError):
    from backports import zstd  # type: ignore[no-redef,unused-ignore]
with suppress(ImportError):
    from compression import zstd  # type: ignore[no-redef,unused-ignore]

# A megabyte of gzip may be a gigabyte of zeros: never more than this is decoded at once.
PIECE = 1024 * 1024
GZIP, ZLIB, RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
PLAIN = frozenset({"", "identity"})
LIBRARIES = {"br": "brotli>=1.2", "zstd": "backports.zstd"}
CUT = "The answer ended in the middle of its encoding"


class Plain:
    """Leaves bytes as they come."""

    is_encoded = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield data

    def finish(self) -> None:
        pass


class Zlib:
    """Decodes gzip (several members, too) and deflate, which some send without its header."""

    is_encoded = True

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decode to, in pieces of bounded size.

        :raises ContentError: they are not what the header says.
        """
        piece = b""
        while data or len(piece) == PIECE:
            if self._stream.eof:
                if not data.strip(b"\0"):
                    return  # padding
                self._stream = zlib.decompressobj(self._wbits)
            piece = self._decompress(data)
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece

    def _decompress(self, data: bytes) -> bytes:
        try:
            piece = self._stream.decompress(data, PIECE)
        except zlib.error as error:
            if self._wbits != ZLIB or self._has_begun:
                raise errors.ContentError(f"The answer cannot be decoded: {error}.") from error
            self._wbits, self._has_begun = RAW_DEFLATE, True
            self._stream = zlib.decompressobj(RAW_DEFLATE)
            return self._decompress(data)
        self._has_begun = True
        return piece

    def finish(self) -> None:
        """Say that nothing more comes.

        :raises ConnectionBrokenError: it ends in the middle.
        """
        if self._has_begun and not self._stream.eof:
            raise errors.ConnectionBrokenError(CUT)


class Brotli:
    """Decodes brotli, with the library ``brotli`` from 1.2 on: earlier ones bound nothing."""

    is_encoded = True

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decode to; see :meth:`Zlib.feed`."""
        try:
            while data or not self._stream.can_accept_more_data():
                self._has_begun = True
                piece = self._stream.process(data, output_buffer_limit=PIECE)
                data = b""
                if piece:
                    yield piece
        except brotli.error as error:
            raise errors.ContentError(f"The answer cannot be decoded: {error}.") from error

    def finish(self) -> None:
        """Say that nothing more comes; see :meth:`Zlib.finish`."""
        if self._has_begun and not self._stream.is_finished():
            raise errors.ConnectionBrokenError(CUT)


class Zstd:
    """Decodes zstd (several frames, too), with Python's own module, or ``backports.zstd`` before Python 3.14."""

    is_encoded = True

    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor()
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decode to; see :meth:`Zlib.feed`."""
        try:
            while data or not (self._stream.needs_input or self._stream.eof):
                if self._stream.eof:
                    self._stream = zstd.ZstdDecompressor()
                self._has_begun = True
                piece = self._stream.decompress(data, max_length=PIECE)
                data = self._stream.unused_data if self._stream.eof else b""
                if piece:
                    yield piece
        except zstd.ZstdError as error:
            raise errors.ContentError(f"The answer cannot be decoded: {error}.") from error

    def finish(self) -> None:
        """Say that nothing more comes; see :meth:`Zlib.finish`."""
        if self._has_begun and not self._stream.eof:
            raise errors.ConnectionBrokenError(CUT)


Decoder = Plain | Zlib | Brotli | Zstd


def decoder_of(encoding: str | None, status: int | None = None) -> Decoder:
    """Return the decoder of a ``Content-Encoding``.

    :raises UnexpectedReplyError: it is one that was not asked for and is not known here.
    """
    names = [name.strip().lower() for name in (encoding or "").split(",")]
    names = [name for name in names if name not in PLAIN]
    if not names:
        return Plain()
    if names in (["gzip"], ["x-gzip"]):
        return Zlib(GZIP)
    if names == ["deflate"]:
        return Zlib(ZLIB)
    if names == ["br"] and brotli and hasattr(brotli.Decompressor, "can_accept_more_data"):
        return Brotli()
    if names == ["zstd"] and zstd:
        return Zstd()
    raise errors.UnexpectedReplyError(
        f"The answer is encoded ({', '.join(names)[:80]}), which nobody asked for.",
        next_step="A proxy in between compresses answers: switch that off for this gateway"
        + (f", or install {LIBRARIES[names[0]]}." if names[0] in LIBRARIES and len(names) == 1 else "."),
        status=status,
    )
