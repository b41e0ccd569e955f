"""The elements of Matroska and WebM that show what plays, and how they are read. Pure."""

from __future__ import annotations

import math
import struct

from airflow_provider_wisdomgate.clips.tracks import MAX_TRACKS, Facts, Format, Tables, Track, only, picture

MAGIC = b"\x1a\x45\xdf\xa3"
# Pictures come in clusters, or in blocks of a cluster whose size nobody knew: one name for all of them.
NAMES = {
    bytes.fromhex(number): name.encode()
    for name, numbers in {
        **{"EBML": "1a45dfa3", "DocType": "4282", "Segment": "18538067", "Cluster": "1f43b675 a3 a0"},
        **{"Info": "1549a966", "TimestampScale": "2ad7b1", "Duration": "4489"},
        **{"Tracks": "1654ae6b", "TrackEntry": "ae", "TrackType": "83", "Video": "e0"},
        **{"PixelWidth": "b0", "PixelHeight": "ba", "DisplayWidth": "54b0", "DisplayHeight": "54ba"},
        **{"DisplayUnit": "54b2", "CropBottom": "54aa", "CropTop": "54bb", "CropLeft": "54cc", "CropRight": "54dd"},
    }.items()
    for number in numbers.split()
}
KINDS = {1: "video", 2: "sound"}


def read_header(data: bytes | bytearray) -> tuple[bytes, int, float] | None:
    """Read an element's id and size, both numbers of a length that their first bits give."""
    id_length = 9 - data[0].bit_length() if data else 0
    if id_length > 4:
        return b"", 1, -1
    if not id_length or len(data) <= id_length:
        return None
    size_length = 9 - data[id_length].bit_length()
    used = id_length + size_length
    if size_length > 8:
        return b"", id_length + 1, -1
    if len(data) < used:
        return None
    number, name = bytes(data[:id_length]), bytes(data[id_length:used])
    most = (1 << 7 * size_length) - 1
    size = int.from_bytes(name) & most
    return NAMES.get(number, number), used, math.inf if size == most else size


def _number(tables: Tables, name: bytes, default: int = 0) -> int:
    return int.from_bytes(only(tables, name)[:8]) or default


def _read_head(facts: Facts, tables: Tables, *_: int) -> None:
    facts.container = "webm" if only(tables, b"DocType").rstrip(b"\0") == b"webm" else "mkv"


def _read_info(facts: Facts, tables: Tables, *_: int) -> None:
    length = only(tables, b"Duration")
    layout = {4: ">f", 8: ">d"}.get(len(length))
    ticks = struct.unpack(layout, length)[0] if layout else 0.0
    facts.said = ticks * _number(tables, b"TimestampScale", 1_000_000) / 1e9


def _read_track(facts: Facts, tables: Tables, *_: int) -> None:
    if len(facts.tracks) < MAX_TRACKS:
        kind = KINDS.get(_number(tables, b"TrackType"))
        facts.tracks.append(Track(kind=kind, picture=_shown(tables), samples=1))


def _shown(tables: Tables) -> tuple[int, int]:
    width = _number(tables, b"PixelWidth") - _number(tables, b"CropLeft") - _number(tables, b"CropRight")
    height = _number(tables, b"PixelHeight") - _number(tables, b"CropTop") - _number(tables, b"CropBottom")
    wide, high = _number(tables, b"DisplayWidth", width), _number(tables, b"DisplayHeight", height)
    if _number(tables, b"DisplayUnit") and high > 0:  # no pixels: only the shape counts
        return picture(height * wide / high, height)
    return picture(wide, high)


MATROSKA = Format(
    "Matroska",
    read_header,
    {
        b"": (b"EBML", b"Segment"),
        b"EBML": (b"DocType",),
        b"Segment": (b"Info", b"Tracks"),
        b"Info": (b"TimestampScale", b"Duration"),
        b"Tracks": (b"TrackEntry",),
        b"TrackEntry": (b"TrackType", b"Video"),
        b"Video": tuple(name for name in NAMES.values() if name.startswith((b"Pixel", b"Display", b"Crop"))),
    },
    {b"EBML": _read_head, b"Info": _read_info, b"TrackEntry": _read_track},
    frozenset((b"Segment", b"Cluster", b"Info", b"Tracks")),
    (b"Tracks", b"Cluster"),
    (b"Cluster",),
)
