"""The boxes of an MP4, built by hand: for clips that no encoder would write, and for tiny ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence

UPRIGHT = (1.0, 0.0, 0.0, 1.0)


def box(name: bytes, *bodies: bytes, wide: bool = False) -> bytes:
    """Build a box; ``wide`` writes its size as a 64-bit number."""
    body = b"".join(bodies)
    if wide:
        return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), name) + body


def full(name: bytes, layout: str, *numbers: int, version: int = 0, flags: int = 0, rest: bytes = b"") -> bytes:
    """Build a box that begins with a version and flags."""
    return box(name, struct.pack(f">I{layout}", version << 24 | flags, *numbers), rest)


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    return struct.pack(">9i", *(int(number * 65536) for number in (a, b, 0, c, d, 0, 0, 0, 16384)))


def mvhd(scale: int, length: int, *, version: int = 0, turn: Sequence[float] = UPRIGHT) -> bytes:
    times = "QQIQ" if version else "IIII"
    return full(b"mvhd", times, 0, 0, scale, length, version=version, rest=bytes(16) + matrix(*turn) + bytes(28))


def tkhd(
    width: float, height: float, *, number: int = 1, flags: int = 7, version: int = 0, turn: Sequence[float] = UPRIGHT
) -> bytes:
    times = "QQIIQ" if version else "IIIII"
    size = struct.pack(">II", int(width * 65536), int(height * 65536))
    rest = bytes(16) + matrix(*turn) + size
    return full(b"tkhd", times, 0, 0, number, 0, 0, version=version, flags=flags, rest=rest)


def counted(name: bytes, rows: Sequence[Sequence[int]], letter: str = "I", **how: int) -> bytes:
    """Build a table: the number of its rows, and the rows."""
    numbers = [number for row in rows for number in row]
    return full(name, "I" + letter * len(numbers), len(rows), *numbers, **how)


def samples(
    *,
    at: Sequence[int] = (0,),
    sizes: Sequence[int] = (1,),
    runs: Sequence[Sequence[int]] = ((1, 1, 1),),
    ticks: Sequence[Sequence[int]] = (),
    wide: bool = False,
) -> bytes:
    """Build the tables of a track: chunks begin ``at`` these places of the file, ``runs`` gives the samples of each."""
    return (
        counted(b"stts", ticks)
        + counted(b"stsc", runs)
        + full(b"stsz", f"II{len(sizes)}I", 0, len(sizes), *sizes)
        + counted(b"co64" if wide else b"stco", [(place,) for place in at], "Q" if wide else "I")
    )


SAMPLES = samples()


def trak(
    width: float = 0,
    height: float = 0,
    *,
    kind: bytes = b"vide",
    scale: int = 1000,
    tables: bytes = SAMPLES,
    edits: bytes = b"",
    header: bytes | None = None,
    version: int = 0,
) -> bytes:
    """Build a track; without a ``header`` it is upright, of that size."""
    times = "QQIQ" if version else "IIII"
    media = box(
        b"mdia",
        full(b"mdhd", times, 0, 0, scale, 0, version=version, rest=bytes(4)),
        full(b"hdlr", "I4s", 0, kind, rest=bytes(13)),  # type: ignore[arg-type]
        box(b"minf", box(b"stbl", tables)),
    )
    header = tkhd(width, height, version=version) if header is None else header
    return box(b"trak", header, box(b"edts", edits), media)


FTYP = box(b"ftyp", b"isom\0\0\2\0isomavc1")


def clip(seconds: int, width: int, height: int, mdat: bytes, size: int | None = None) -> bytes:
    """Build a whole MP4 whose one picture is all of its mdat; the ``size`` of the clip if more of it comes later."""
    head = len(FTYP + _moov(seconds, width, height, 0, 0)) + 16
    size = size or head + len(mdat)
    moov = _moov(seconds, width, height, head, min(size - head, 2**32 - 1))
    return FTYP + moov + struct.pack(">I4sQ", 1, b"mdat", size - len(FTYP + moov)) + mdat


def _moov(seconds: int, width: int, height: int, at: int, size: int) -> bytes:
    tables = samples(at=(at,), sizes=(size,), ticks=[(1, 1000 * seconds)])
    return box(b"moov", mvhd(1000, 1000 * seconds), trak(width, height, tables=tables))
