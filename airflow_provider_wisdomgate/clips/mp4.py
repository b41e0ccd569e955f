"""Walks the top-level boxes of a clip as its bytes pass: is it whole, how long, how large a picture. Pure.

Never holds more than the ``ftyp`` and ``moov`` boxes. A body that was cut short arrives without any error when
it is chunked or close-delimited; only the container tells. MP4 and MOV are walked; WebM is recognised by its
first bytes (its length is not checked); everything else is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_provider_wisdomgate.exceptions import ContentError

WEBM = b"\x1a\x45\xdf\xa3"
# What an MP4 or MOV may begin with; old MOVs have no ftyp.
FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
KEPT_BOXES = frozenset({b"ftyp", b"moov"})
# What a browser and an object store are told of each container.
CONTENT_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm"}
MAX_KEPT = 64 * 1024 * 1024
# A header that gives more is broken, and its clip may be whole all the same. No codec has longer sides.
LONGEST_SECONDS = 10 * 86400.0
LONGEST_SIDE = 16_384


@dataclass(frozen=True)
class Clip:
    """What the container says. ``duration`` in seconds, ``width`` and ``height`` in pixels, None where it does not."""

    container: str
    duration: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass
class BoxWalk:
    """Feed the bytes in order, then ask :meth:`finish`. ``size`` counts the bytes so far."""

    size: int = 0
    _container: str | None = None
    _pending: bytearray = field(default_factory=bytearray)  # an unfinished header, or the moov's bytes
    _skip: int = 0
    _box: bytes = b""
    _to_end: bool = False
    _seen: set[bytes] = field(default_factory=set)
    _kept: dict[bytes, bytes] = field(default_factory=dict)

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        :raises ContentError: as soon as this can be no clip.
        """
        self.size += len(data)
        view = memoryview(data)
        while view:
            if self._skip:
                view = self._pass(view)
            elif self._to_end or self._container == "webm":
                return
            else:
                view = self._read_header(view)

    def _pass(self, view: memoryview) -> memoryview:
        step = min(self._skip, len(view))
        if self._box in KEPT_BOXES:
            self._pending += view[:step]
        self._skip -= step
        if not self._skip:
            self._close_box()
        return view[step:]

    def _close_box(self) -> None:
        if self._box in KEPT_BOXES:
            self._kept[self._box] = bytes(self._pending)
            self._pending.clear()
        self._seen.add(self._box)

    def _read_header(self, view: memoryview) -> memoryview:
        needed = 16 if self._pending[:4] == b"\0\0\0\1" else 8
        step = min(needed - len(self._pending), len(view))
        self._pending += view[:step]
        if self._container is None and len(self._pending) >= 8:
            self._recognise()
        if len(self._pending) >= needed and (needed == 16 or self._pending[:4] != b"\0\0\0\1"):
            self._open_box()
        return view[step:]

    def _recognise(self) -> None:
        head = bytes(self._pending)
        if head.startswith(WEBM):
            self._container = "webm"
        elif head[4:8] in FIRST_BOXES:
            self._container = "mp4"
        else:
            raise ContentError(f"The content is no known video container; it begins with {head!r}.")

    def _open_box(self) -> None:
        if self._container == "webm":
            return
        size, self._box = struct.unpack(">I4s", self._pending[:8])
        header = len(self._pending)
        if size == 1:
            size = struct.unpack(">Q", self._pending[8:16])[0]
        self._pending.clear()
        if size == 0:
            self._to_end = True
            self._seen.add(self._box)
            return
        if size < header or (self._box in KEPT_BOXES and size > MAX_KEPT):
            raise ContentError(f"The content is a broken MP4: box {self._box!r} says it has {size} bytes.")
        self._skip = size - header
        if not self._skip:
            self._close_box()

    def finish(self) -> Clip:
        """Say what the clip is.

        :raises ContentError: it is not whole.
        """
        if self._container == "webm":
            return Clip("webm")
        if self._container is None:
            raise ContentError(f"The content has {self.size} bytes, too few for any video.")
        if self._skip or self._pending:
            missing = f", {self._skip} of its bytes are missing" if self._skip else ""
            raise ContentError(f"The content is cut off after {self.size} bytes, inside box {self._box!r}{missing}.")
        if absent := [name for name in ("moov", "mdat") if name.encode() not in self._seen]:
            raise ContentError(f"The content ({self.size} bytes) has no {' and no '.join(absent)} box: no whole video.")
        container = "mov" if self._kept.get(b"ftyp", b"qt  ").startswith(b"qt  ") else "mp4"
        return _read_moov(container, self._kept.get(b"moov", b""))


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Walk the boxes inside a box; stops where a size makes no sense."""
    while len(data) >= 8:
        size, name = struct.unpack(">I4s", data[:8])
        start = 8
        if size == 1 and len(data) >= 16:
            size, start = struct.unpack(">Q", data[8:16])[0], 16
        size = size or len(data)
        if size < start or size > len(data):
            return
        yield name, data[start:size]
        data = data[size:]


def _read_moov(container: str, moov: bytes) -> Clip:
    duration: float | None = None  # a fragmented clip says 0 and means "see the fragments": unknown
    pictures: list[tuple[int, int]] = []
    for name, body in _boxes(memoryview(moov)):
        if name == b"mvhd":
            duration = _duration(body)
        elif name == b"trak":
            pictures += [_picture(inner) for kind, inner in _boxes(body) if kind == b"tkhd"]
    width, height = max(pictures, default=(0, 0))
    return Clip(container, duration or None, width or None, height or None)


def _duration(mvhd: memoryview) -> float | None:
    wide = bool(mvhd) and mvhd[0] == 1
    layout, start = (">IQ", 20) if wide else (">II", 12)
    if len(mvhd) < start + struct.calcsize(layout):
        return None
    scale, length = struct.unpack_from(layout, mvhd, start)
    unknown = length == (2**64 - 1 if wide else 2**32 - 1)
    duration = round(length / scale, 3) if scale and not unknown else None
    return duration if duration is not None and duration <= LONGEST_SECONDS else None


def _picture(tkhd: memoryview) -> tuple[int, int]:
    """Read width and height: the last two 16.16 fixed-point numbers of the box."""
    start = 88 if tkhd and tkhd[0] == 1 else 76
    if len(tkhd) < start + 8:
        return 0, 0
    width, height = (side >> 16 for side in struct.unpack_from(">II", tkhd, start))
    return (width, height) if max(width, height) <= LONGEST_SIDE else (0, 0)
