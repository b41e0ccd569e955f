"""Judges a clip by what plays, as its bytes pass: whole or not at all. Pure; holds the tables of its tracks at most.

A clip is whole if each box that plays is whole, and if each sample that the tables list is in the file. A body that
was cut short can arrive without any error; only the container shows it. Bytes after the last box do not play: they
are counted, and are no error. But if nobody announced the length, a further fragment may have begun in them.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from airflow_provider_wisdomgate.clips.matroska import MAGIC, MATROSKA
from airflow_provider_wisdomgate.clips.tracks import MAX_TRACKS, Clip, Facts, Format, Tables, Track, only, picture
from airflow_provider_wisdomgate.exceptions import ContentError

# The content type of each container, for browsers and object stores.
CONTENT_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mkv": "video/x-matroska"}
# The first boxes that an MP4 or MOV may have; old MOVs have no ftyp.
FIRST_BOXES = b"ftyp styp uuid moov mdat moof sidx wide free skip pnot".split()
MAX_KEPT = 64 * 1024 * 1024
MAX_BOXES, MAX_EDITS = 4_000_000, 1000
KINDS = {b"vide": "video", b"soun": "sound"}


class Open(NamedTuple):
    """A container that the walk is in; ``end`` is infinite if it goes on to the end of the file."""

    name: bytes
    start: int
    end: float
    tables: Tables


class BoxWalk:
    """Feed the bytes in order, then ask :meth:`finish`. ``size`` counts the bytes so far."""

    def __init__(self) -> None:
        self.size = 0
        self._format = UNKNOWN
        self._facts = Facts()
        self._open = [Open(b"", 0, math.inf, {})]
        self._name = b""
        self._left: float = 0  # of the box that is passed or kept
        self._pending = bytearray()  # an unfinished header or table
        self._is_kept = self._is_surplus = False
        self._boxes = self._kept = self._whole = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        :raises ContentError: as soon as this can be no clip.
        """
        view = memoryview(data)
        self.size += len(view)
        while view and not self._is_surplus:
            view = self._read_body(view) if self._left else self._read_header(view)

    def _read_body(self, view: memoryview) -> memoryview:
        step = int(min(self._left, len(view)))
        if self._is_kept:
            self._pending += view[:step]
        self._left -= step
        if not self._left:
            self._close_box(self.size - len(view) + step)
        return view[step:]

    def _read_header(self, view: memoryview) -> memoryview:
        had = len(self._pending)
        start = self.size - len(view) - had
        room = self._open[-1].end - start
        self._pending += view[: int(min(16, room)) - had]
        if self._format is UNKNOWN:
            self._format = _recognise(bytes(self._pending))
        header, used = self._format.header(self._pending), len(self._pending)
        if header:
            name, used, length = header
            self._pending.clear()
            self._open_box(name, start, used, length, room - used)
        elif used == room:  # too little for a header: padding
            self._pending.clear()
            self._close_containers(start + used)
        return view[used - had :]

    def _open_box(self, name: bytes, start: int, used: int, length: float, room: float) -> None:
        of = self._format
        if name in of.endless and length == math.inf:
            name, length = b"", 0
        if not 0 <= length <= room or (length == math.inf and name not in of.vital):
            if room == math.inf:
                return self._end_here(name, length + used)
            name, length = b"", room  # broken; what comes after its container can be read again
        self._name, self._left, end = name, length, start + used + length
        if name in of.vital and end < math.inf:
            self._facts.needed = max(self._facts.needed, int(end))
        self._is_kept = name in of.tree[self._open[-1].name]
        self._bound()
        if self._is_kept and name in of.tree:
            self._open.append(Open(name, start, end, {} if name in of.readers else self._open[-1].tables))
            self._left, self._is_kept = 0, False
            self._close_containers(start + used)
        elif not length:
            self._close_box(start + used)

    def _end_here(self, name: bytes, length: float) -> None:
        """Pass over the rest of the file if all that is required came before it."""
        if not self._facts.seen.issuperset(self._format.required):
            raise ContentError(
                f"The content is a broken {self._format.title}: box {name!r} says it has {length} bytes."
            )
        self._is_surplus = True

    def _bound(self) -> None:
        self._boxes += 1
        if self._is_kept:  # an empty one costs memory, too
            self._kept += 100 + (0 if self._name in self._format.tree else int(min(self._left, MAX_KEPT)))
        if self._kept > MAX_KEPT or self._boxes > MAX_BOXES:
            raise ContentError(
                f"The content is a broken {self._format.title}: its tables have more than {MAX_KEPT} bytes."
            )

    def _close_box(self, end: int) -> None:
        tables = None
        if self._is_kept:
            tables = {} if self._name in self._format.readers else self._open[-1].tables
            tables.setdefault(self._name, []).append(bytes(self._pending))
            self._pending.clear()
            self._is_kept = False
        self._read(self._name, tables, end)
        self._close_containers(end)

    def _close_containers(self, end: int) -> None:
        while len(self._open) > 1 and self._open[-1].end <= end:
            self._read(self._open[-1].name, self._open[-1].tables, end)
            self._open.pop()
        if self._open[-1].end == math.inf:
            self._whole = end
        if len(self._open) == 1:
            self._kept = 0

    def _read(self, name: bytes, tables: Tables | None, end: int) -> None:
        if tables is not None and name in self._format.readers:
            self._format.readers[name](self._facts, tables, self._open[:2][-1].start, end)
        if name in self._format.vital:
            self._facts.seen.add(name)

    def finish(self, is_all: bool = False) -> Clip:
        """Return what plays.

        :param is_all: somebody announced so many bytes.
        :raises ContentError: it is not whole, or no video.
        """
        if self._format is UNKNOWN:
            raise ContentError(f"The content has {self.size} bytes, too few for any video.")
        if self._left == math.inf:
            self._left = 0
            self._close_box(self.size)
        surplus = self.size - self._whole
        if self._is_cut(surplus, is_all):
            raise ContentError(f"The content is cut off after {self.size} bytes{self._place()}.")
        while len(self._open) > 1:
            self._read(self._open[-1].name, self._open[-1].tables, self.size)
            self._open.pop()
        if absent := [name.decode() for name in self._format.required if name not in self._facts.seen]:
            raise ContentError(f"The content ({self.size} bytes) has no {' and no '.join(absent)} box: no whole video.")
        return self._facts.judge(self.size, surplus)

    def _is_cut(self, surplus: int, is_all: bool) -> bool:
        if self.size < self._facts.needed:
            return True
        may_go_on = self._facts.is_fragmented or len(self._open) > 1
        begun = bytes(self._pending[4:8]) if not self._left else b""  # in the middle of a header of 16 bytes
        return surplus > 0 and (begun in self._format.vital or (may_go_on and not is_all))

    def _place(self) -> str:
        name = self._open[1].name if len(self._open) > 1 else self._name if self._left else b""
        missing = self._facts.needed - self.size
        inside = f", inside box {name!r}" if name else ""
        return inside + (f", {missing} of its bytes are missing" if missing > 0 else "")


# ---- What MP4 and MOV list


def _unpack(layout: str, data: bytes, at: int = 0) -> tuple[int, ...]:
    """Unpack big-endian numbers; what is missing reads as 0."""
    size = struct.calcsize(f">{layout}")
    return struct.unpack(f">{layout}", data[at : at + size].ljust(size, b"\0"))


def _table(data: bytes, at: int, count: int, code: str = "I") -> array[int]:
    """Read so many big-endian numbers, as far as they are there."""
    numbers = array(code)
    there = max(len(data) - at, 0) // numbers.itemsize
    numbers.frombytes(memoryview(data)[at : at + min(count, there) * numbers.itemsize])
    if struct.pack("=H", 1) != struct.pack(">H", 1):
        numbers.byteswap()
    return numbers


def _optional(data: bytes, at: int, flags: int, fields: Mapping[int, str]) -> tuple[dict[int, int], int]:
    """Read the fields whose flags are set; return them, and where the rest begins."""
    present = {flag: letter for flag, letter in fields.items() if flags & flag}
    layout = "".join(present.values())
    return dict(zip(present, _unpack(layout, data, at), strict=True)), at + struct.calcsize(f">{layout}")


def _runs(table: bytes) -> Iterable[tuple[int, int]]:
    """Read (so many samples, ticks of each), of stts or ctts."""
    numbers = _table(table, 8, 2 * _unpack("I", table, 4)[0], "i")
    return zip(numbers[::2], numbers[1::2], strict=False)


def _is_wide(table: bytes) -> bool:
    return table[:1] == b"\1"


def _times(header: bytes) -> tuple[int, int]:
    """Return the time scale of mvhd or mdhd, and the length in it; 0 for a length that means unknown."""
    scale, length = _unpack("IQ", header, 20) if _is_wide(header) else _unpack("II", header, 12)
    return scale, 0 if length == (2**64 if _is_wide(header) else 2**32) - 1 else length


def _is_turned(matrix: bytes) -> bool:
    """Whether a matrix turns the picture by 90 or 270 degrees."""
    a, b, _, c, d = (abs(number) for number in _unpack("5i", matrix))
    return min(b, c) > max(a, d)


def _shown(tkhd: bytes, stsd: bytes) -> tuple[int, int]:
    """Return the size on the screen: the track's, unless that is none, or the coded one without the pixels' shape."""
    matrix = 52 if _is_wide(tkhd) else 40
    width, height = (side / 65536 for side in _unpack("II", tkhd, matrix + 36))
    coded, place = _unpack("HH", stsd, 40), stsd.find(b"\0\0\0\x10pasp")
    if not picture(width, height)[0] or (width, height) == coded:
        across, down = _unpack("II", stsd, place + 8) if place > 0 else (1, 1)
        width, height = coded[0] * across / down if across and down else coded[0], coded[1]
    size = picture(width, height)
    return size[::-1] if _is_turned(tkhd[matrix:]) else size


def _edits(elst: bytes) -> list[tuple[int, ...]]:
    layout = "Qqi" if _is_wide(elst) else "Iii"
    step = struct.calcsize(f">{layout}")
    count = min(_unpack("I", elst, 4)[0], (len(elst) - 8) // step, MAX_EDITS)
    return [_unpack(layout, elst, 8 + step * number) for number in range(count)]


def _samples(tables: Tables) -> tuple[int, int]:
    """Return how many samples are listed, and where the chunk ends that is the last in the file."""
    sizes, runs, wide = only(tables, b"stsz"), only(tables, b"stsc"), only(tables, b"co64")
    chunks, code = (wide, "Q") if wide else (only(tables, b"stco"), "I")
    offsets = _table(chunks, 8, _unpack("I", chunks, 4)[0], code)
    constant, count = _unpack("II", sizes, 4)
    if not offsets or not count:
        return 0, 0
    last, before, per = max(range(len(offsets)), key=offsets.__getitem__) + 1, 0, 0
    table = _table(runs, 8, 3 * _unpack("I", runs, 4)[0])
    for first, following, per in zip(table[::3], [*table[3::3], last], table[1::3], strict=False):
        before += max(min(following, last) - first, 0) * per
        if following > last:
            break
    return count, offsets[last - 1] + (constant * per or sum(_table(sizes, 12, count)[before : before + per]))


def _read_brand(facts: Facts, tables: Tables, *_: int) -> None:
    (brand,) = next(iter(tables.values()))
    facts.container = facts.container or ("mov" if brand.startswith(b"qt  ") else "mp4")


def _read_movie(facts: Facts, tables: Tables, *_: int) -> None:
    if b"moov" in facts.seen:
        return
    header, extended = only(tables, b"mvhd"), only(tables, b"mehd")
    facts.movie_scale, length = _times(header)
    (total,) = _unpack("Q" if _is_wide(extended) else "I", extended, 4)
    facts.said = (length or total) / (facts.movie_scale or math.inf)
    facts.is_fragmented = b"mvex" in facts.seen
    defaults = {
        number: (ticks, size) for number, _, ticks, size in (_unpack("4I", t, 4) for t in tables.get(b"trex", ()))
    }
    for track in facts.tracks:
        track.defaults = defaults.get(track.number, (0, 0))
        if _is_turned(header[48 if _is_wide(header) else 36 :]):
            track.picture = track.picture[::-1]


def _read_track(facts: Facts, tables: Tables, *_: int) -> None:
    if b"moov" in facts.seen or len(facts.tracks) >= MAX_TRACKS:  # a second moov is passed over
        return
    header = only(tables, b"tkhd")
    track = Track(
        number=_unpack("I", header, 20 if _is_wide(header) else 12)[0],
        kind=KINDS.get(only(tables, b"hdlr")[8:12]),
        is_enabled=bool(_unpack("I", header)[0] & 1),
        picture=_shown(header, only(tables, b"stsd")),
        scale=_times(only(tables, b"mdhd"))[0],
        edits=_edits(only(tables, b"elst")),
    )
    facts.tracks.append(track)
    count, end = _samples(tables)
    if count and track.kind:
        facts.needed = max(facts.needed, end)
        track.add(count, 0, _runs(only(tables, b"stts")), _runs(only(tables, b"ctts")))


def _read_fragment(facts: Facts, tables: Tables, start: int, _: int) -> None:
    header, begin = only(tables, b"tfhd"), only(tables, b"tfdt")
    flags, number = _unpack("II", header)
    track = next((track for track in facts.tracks if track.number == number), None)
    if track is None:
        return
    given, _ = _optional(header, 8, flags, {1: "Q", 2: "I", 8: "I", 16: "I"})
    defaults = given.get(8, track.defaults[0]), given.get(16, track.defaults[1])
    base = place = given.get(1, facts.data_at if facts.data_at and not flags & 0x20000 else start)
    if begin:
        (track.decoded,) = _unpack("Q" if _is_wide(begin) else "I", begin, 4)
    for run in tables.get(b"trun", ()):
        offset, size = _read_run(run, track, defaults)
        place = (place if offset is None else base + offset) + size
        facts.needed = max(facts.needed, place)
    facts.data_at = place


def _read_run(run: bytes, track: Track, defaults: tuple[int, int]) -> tuple[int | None, int]:
    """Add a fragment's samples to its track; return where their data begin and how many bytes they have."""
    flags, count = _unpack("II", run)
    head, at = _optional(run, 8, flags, {1: "i", 4: "I"})
    fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
    values = _table(run, at, count * len(fields), "i")
    columns = {flag: values[column :: len(fields)] for column, flag in enumerate(fields)}
    ticks = ((1, each) for each in columns[0x100]) if 0x100 in columns else ((count, defaults[0]),)
    track.add(count, track.decoded, ticks, ((1, shift) for shift in columns.get(0x800, ())))
    track.is_fragmented = True
    return head.get(1), sum(columns[0x200]) if 0x200 in columns else count * defaults[1]


def _read_fragments(facts: Facts, _: Tables, *__: int) -> None:
    facts.is_fragmented, facts.data_at, facts.container = True, 0, facts.container or "mp4"


def _read_index(facts: Facts, tables: Tables, _: int, end: int) -> None:
    index = only(tables, b"sidx")
    (_, first), at = (_unpack("QQ", index, 12), 28) if _is_wide(index) else (_unpack("II", index, 12), 20)
    sizes = _table(index, at + 4, 3 * _unpack("HH", index, at)[1])[::3]
    facts.needed = max(facts.needed, end + first + sum(size & 0x7FFFFFFF for size in sizes))


def _read_end(facts: Facts, _: Tables, *__: int) -> None:
    facts.is_fragmented = False  # the index of all fragments: none comes after it


def _read_header(data: bytes | bytearray) -> tuple[bytes, int, float] | None:
    if len(data) < 8 or (data[:4] == b"\0\0\0\1" and len(data) < 16):
        return None
    size, name, wide = struct.unpack(">I4sQ", data[:16].ljust(16))
    return (name, 16, wide - 16) if size == 1 else (name, 8, (size or math.inf) - 8)


UNKNOWN = Format("", lambda data: None, {}, {}, frozenset(), ())
MP4 = Format(
    "MP4",
    _read_header,
    {
        parent: boxes.split()
        for parent, boxes in {
            b"": b"ftyp styp sidx moov moof mfra",
            b"moov": b"mvhd trak mvex",
            b"trak": b"tkhd edts mdia",
            b"edts": b"elst",
            b"mdia": b"mdhd hdlr minf",
            b"minf": b"stbl",
            b"stbl": b"stsd stts ctts stsz stsc stco co64",
            b"mvex": b"trex mehd",
            b"moof": b"traf",
            b"traf": b"tfhd tfdt trun",
            b"mfra": b"",
        }.items()
    },
    {
        b"ftyp": _read_brand,
        b"styp": _read_brand,
        b"sidx": _read_index,
        b"trak": _read_track,
        b"moov": _read_movie,
        b"traf": _read_fragment,
        b"moof": _read_fragments,
        b"mfra": _read_end,
    },
    frozenset(b"moov mdat moof trak mvex".split()),
    (b"moov", b"mdat"),
)


def _recognise(head: bytes) -> Format:
    if head.startswith(MAGIC):
        return MATROSKA
    if head[4:8] in FIRST_BOXES:
        return MP4
    if len(head) >= 8:
        raise ContentError(f"The content is no known video container; it begins with {head[:8]!r}.")
    return UNKNOWN
