"""Reads an HTTP/1.1 answer from its bytes as they come, and decodes its body: the one reader of both clients. Pure.

An answer is read as loosely as is safe, because a paid id may be in it. 1xx heads, lines that are no header and lengths
that are no number do not count. A break keeps what came before it. Everything is bounded, and no reason quotes what
came: it may hold the key.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.values import loads

brotli: Any = None
zstd: Any = None
with suppress(ImportError):
    import brotli  # type: ignore[no-redef,unused-ignore]
with suppress(ImportError):
    from backports import zstd  # type: ignore[no-redef,unused-ignore]
with suppress(ImportError):
    from compression import zstd  # type: ignore[no-redef,unused-ignore]

MAX_HEADS = 2 * 1024 * 1024  # bytes of all heads of one answer, its 1xx included
MAX_HEADERS = 10_000
MAX_INTERIM = 1_000  # a gateway that sends 102 each second reaches it after a quarter of an hour
MAX_LINE = 128 * 1024  # before a chunk
MAX_SEEN = 256 * 1024
ENDLESS = 1 << 62

STATUS_LINE = re.compile(r"HTTP/(\d+(?:\.\d+)?)[ \t]+(\d{3})(?!\S)", re.ASCII | re.IGNORECASE)
END_OF_HEAD = re.compile(rb"\n\r?\n")
FOLD = re.compile(r"\r?\n[ \t]+")
CHUNK_SIZE = re.compile(rb"[ \t]*0*([0-9a-fA-F]{1,15})[ \t]*(?:;|$)")
WITHOUT_BODY = (101, 204, 304)

NOTHING = "it was closed without an answer"
CUT = "it was closed before the answer was whole"
NO_HTTP = "what came is no HTTP answer"
HEAD_TOO_LARGE = "the answer's headers are too large"
TOO_MANY_INTERIM = "interim answers came without end"
BAD_CHUNK = "the answer's chunks do not fit their sizes"


class Unshown(bytearray):
    """Bytes without a repr: a gateway may quote the key, and error reporters show the reprs of local variables."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class Answer:
    """One answer as far as it came.

    ``status`` is None until the final head is read. ``headers`` have lower-case names; a length that does not count is
    not among them. ``broken`` is why it will never be whole.

    :param seen: gets what comes after the head, as it comes, of an answer whose loss would cost; all, without a head.
    :param has_body: whether a body may follow: a proxy's answer about a tunnel has none.
    """

    def __init__(self, seen: bytearray | None = None, *, has_body: bool = True) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.broken: str | None = None
        self.is_whole = False
        self.is_kept = False  # whether the connection may carry another exchange
        self.size = 0  # of the body so far
        self._seen, self._has_body = seen, has_body
        self._buffer = bytearray()
        self._searched = self._heads = self._interim = 0
        self._room = 0  # so many of the next bytes belong to the body
        self._ends_with_close = False
        self._pieces: list[bytes] = []
        self._next: Callable[[], bool] = self._head

    @property
    def is_over(self) -> bool:
        return self.is_whole or self.broken is not None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._seen is not None and len(self._seen) < MAX_SEEN:
            self._seen += data[:MAX_SEEN]
        if self.is_over:
            self.is_kept = False  # nobody asked for these
            return
        if self._room and not self._buffer:  # spares two copies of a clip
            data = self._take(data)
        self._buffer += data
        while not self.is_over and self._next():
            pass
        self._drop_surplus()

    def _drop_surplus(self) -> None:
        if self.is_over:
            self.is_kept = self.is_kept and not self._buffer
            self._buffer.clear()

    def end(self) -> None:
        """Take note that the connection was closed."""
        self.is_kept = False
        if self.is_over:
            return
        if self._ends_with_close or self._next == self._trailer:
            self.is_whole = True
        else:
            self.break_off(CUT if self._buffer or self.status or self._interim else NOTHING)

    def break_off(self, reason: str) -> bool:
        """Take note that nothing more will come, and why."""
        if not self.is_over:
            self.broken, self.is_kept = reason, False
        return False

    def take(self) -> bytes:
        """Return the bytes of the body that came since the last call, as they came."""
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return body

    # Each of these takes one part off the buffer, and returns False if more bytes are needed.

    def _head(self) -> bool:
        if self._buffer.startswith((b"\r", b"\n")):
            self._buffer = self._buffer.lstrip(b"\r\n")
        if not b"http/".startswith(self._buffer[:5].lower()):
            return self.break_off(NO_HTTP)
        found = END_OF_HEAD.search(self._buffer, max(0, self._searched - 2))
        self._searched = 0 if found else len(self._buffer)
        if self._heads + (found.end() if found else self._searched) > MAX_HEADS:
            return self.break_off(HEAD_TOO_LARGE)
        if not found:
            return False
        head = bytes(self._buffer[: found.start()])
        del self._buffer[: found.end()]
        self._heads += found.end()
        if self._seen is not None:
            self._seen[:] = self._buffer[:MAX_SEEN]
        return self._read_head(head)

    def _read_head(self, head: bytes) -> bool:
        text = head.decode("latin-1")
        if "\n " in text or "\n\t" in text:
            text = FOLD.sub(" ", text)
        line, *lines = text.split("\n", MAX_HEADERS + 1)
        found = STATUS_LINE.match(line)
        status = int(found[2]) if found else 0
        if found is None or status < 100:
            return self.break_off(NO_HTTP)
        if status < 200 and status != 101:
            self._interim += 1
            return self._interim <= MAX_INTERIM or self.break_off(TOO_MANY_INTERIM)
        self.headers = _headers_in(lines[:MAX_HEADERS])
        self.is_kept = found[1] != "1.0" and "close" not in self.headers.get("connection", "").lower()
        self._choose_framing(status)
        self.status = status
        return True

    def _choose_framing(self, status: int) -> None:
        is_chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = None if is_chunked else _length_in(self.headers.get("content-length", ""))
        if length is None:
            self.headers.pop("content-length", None)
        if status in WITHOUT_BODY or not self._has_body:
            self.is_whole = True
        elif is_chunked:
            self._next = self._chunk_size
        else:
            self._room, self._next = ENDLESS if length is None else length, self._sized_body
            self._ends_with_close = length is None
            self.is_kept = self.is_kept and length is not None

    def _take(self, data: bytes) -> bytes:
        """Take from data what belongs to the body, and return the rest."""
        piece = data[: self._room]
        self._room -= len(piece)
        self.size += len(piece)
        self._pieces.append(piece)
        return data[len(piece) :]

    def _take_buffered(self) -> bool:
        if self._room and self._buffer:
            self._buffer = bytearray(self._take(bytes(self._buffer)))
        return not self._room

    def _sized_body(self) -> bool:
        self.is_whole = self._take_buffered()
        return False

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        found = CHUNK_SIZE.match(line)
        if found is None:
            return self.break_off(BAD_CHUNK)
        self._room = int(found[1], 16)
        self._next = self._chunk if self._room else self._trailer
        return True

    def _chunk(self) -> bool:
        if not self._take_buffered() or b"\r".startswith(self._buffer):
            return False
        if not self._buffer.startswith((b"\r\n", b"\n")):
            return self.break_off(BAD_CHUNK)
        del self._buffer[: 2 if self._buffer.startswith(b"\r") else 1]
        self._next = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is not None:
            self.is_whole, self.is_kept = True, self.is_kept and not line
        return False

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > MAX_LINE:
                self.break_off(BAD_CHUNK)
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        return line


def _headers_in(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and (name := name.strip().lower()):
            found.setdefault(name, []).append(value.strip())
    found.pop("set-cookie", None)  # nobody here keeps cookies, and requests would search them
    return {name: values[0] if len(values) == 1 else ", ".join(values) for name, values in found.items()}


def _length_in(text: str) -> int | None:
    lengths = {length.strip() for length in text.split(",")}
    only = lengths.pop() if len(lengths) == 1 else ""
    return int(only) if only.isascii() and only.isdecimal() and len(only) < 19 else None


# ---- encodings, for an answer that comes encoded although it was asked for as it is

# A megabyte of gzip may be a gigabyte of zeros: never more than this is decoded at once.
PIECE = 1024 * 1024
# Names that S3, .NET and others write there although nothing is encoded.
PLAIN = frozenset({"", "identity", "chunked", "none", "binary", "utf-8", "utf8", "aws-chunked"})
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
LIBRARIES = {"br": "brotli>=1.2", "zstd": "backports.zstd"}
CONTAINER = re.compile(rb"....(?:ftyp|styp|moov|mdat|wide|free|skip|pnot|uuid)|\x1a\x45\xdf\xa3|RIFF|OggS", re.DOTALL)

# A step decodes one piece at most: it returns the piece, the input that is left, and whether the stream has ended.
Step = tuple[bytes, bytes, bool]


def _zlib_step(stream: Any, data: bytes) -> Step:
    piece = stream.decompress(data, PIECE)
    return piece, stream.unused_data if stream.eof else stream.unconsumed_tail, stream.eof


def _zstd_step(stream: Any, data: bytes) -> Step:
    piece = stream.decompress(data, PIECE)
    return piece, stream.unused_data if stream.eof else b"", stream.eof


def _brotli_step(stream: Any, data: bytes) -> Step:
    return stream.process(data, output_buffer_limit=PIECE), b"", stream.is_finished()


def _streams(name: str) -> tuple[list[Callable[[], Any]], Callable[[Any, bytes], Step], type[Exception]] | None:
    """Return how an encoding's streams are made, the likeliest last, how they go on, and what they raise."""
    if name in ("gzip", "x-gzip"):
        return [lambda: zlib.decompressobj(31)], _zlib_step, zlib.error
    if name == "deflate":  # which some send without its header
        return [lambda: zlib.decompressobj(-15), lambda: zlib.decompressobj(15)], _zlib_step, zlib.error
    if name == "br" and brotli and hasattr(brotli.Decompressor, "can_accept_more_data"):  # before 1.2 it has no bound
        return [brotli.Decompressor], _brotli_step, brotli.error
    if name == "zstd" and zstd:
        return [zstd.ZstdDecompressor], _zstd_step, zstd.ZstdError
    return None


class Decoder:
    """Decodes one encoding, a bounded piece at a time: several members or frames, too.

    :raises UnexpectedReplyError: nothing here decodes it.
    """

    def __init__(self, name: str) -> None:
        found = _streams(name)
        if found is None:
            library = f", or install {LIBRARIES[name]}" if name in LIBRARIES else ""
            raise errors.UnexpectedReplyError(
                f"The answer is encoded ({name[:80]}), which nobody asked for.",
                next_step=f"A proxy in between compresses answers: switch that off for this gateway{library}.",
            )
        self._makers, self._step, self._error = found
        self._stream = self._makers[-1]()
        self._has_begun = self._is_over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decode to.

        :raises ContentError: they are not what the header names.
        """
        piece = b""
        while data or piece:
            if self._is_over:
                if not data.strip(b"\0"):
                    return  # padding
                self._stream = self._makers[-1]()
            piece, data, self._is_over = self._decode(data)
            if piece:
                yield piece

    def _decode(self, data: bytes) -> Step:
        try:
            step = self._step(self._stream, data)
        except self._error as error:
            if self._is_over:
                return b"", b"", True  # what follows a whole stream is not ours
            if self._has_begun or len(self._makers) == 1:
                raise errors.ContentError("The answer is not encoded as its header says.") from error
            self._makers.pop()
            self._stream = self._makers[-1]()
            return self._decode(data)
        self._has_begun = True
        return step

    def finish(self) -> None:
        """Take note that nothing more comes.

        :raises ConnectionBrokenError: it ends in the middle.
        """
        if self._has_begun and not self._is_over:
            raise errors.ConnectionBrokenError("The answer ended in the middle of its encoding.")


def encodings_of(headers: Mapping[str, str]) -> list[str]:
    """Return the names of an answer's encodings, the outermost first."""
    said = f"{headers.get('content-encoding') or ''},{headers.get('transfer-encoding') or ''}"
    return [name for each in reversed(said.split(",")) if (name := each.strip().lower()) not in PLAIN]


def decoded_body(
    raw: bytes | Unshown, headers: Mapping[str, str], most: int
) -> tuple[bytes, errors.WisdomGateError | None]:
    """Return at most ``most`` bytes of a body, decoded, and the error if it could not be decoded to its end.

    Text is taken as it is, whatever the header names.
    """
    body, names = bytes(raw), encodings_of(headers)
    if not names or _is_text(body):
        return body, None
    for name in names:
        decoded = Unshown()
        try:
            decoder = Decoder(name)
            for piece in decoder.feed(body):
                decoded += piece
                if len(decoded) >= most:
                    break
            else:
                decoder.finish()
        except errors.WisdomGateError as error:
            return bytes(decoded or raw), error
        body = bytes(decoded[:most])
    return body, None


def _is_text(raw: bytes) -> bool:
    try:
        return not CONTROL.search(raw.decode())
    except UnicodeDecodeError:
        return loads(raw) is not None
