"""The walk over a clip's boxes: the same answer however the bytes arrive, and nothing but a whole video passes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from boxes import FTYP, SAMPLES, UPRIGHT, box, clip, counted, full, mvhd, samples, tkhd, trak
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate.clips.mp4 import MAX_KEPT, BoxWalk, Clip
from airflow_provider_wisdomgate.exceptions import ContentError
from airflow_provider_wisdomgate.ledger.record import Manifest

MOOV = box(b"moov", mvhd(1000, 8500), trak(0, 0, kind=b"soun"), trak(1280, 720))
MDAT = box(b"mdat", bytes(range(200)))
MVEX = box(b"mvex", full(b"trex", "5I", 1, 1, 500, 20, 0))
FACTS = Clip("mp4", 8.5, 1280, 720, has_sound=True, tracks=2)
SILENT = Clip("mp4", 8.5, 1280, 720, has_sound=False, tracks=1)
UNKNOWN = Clip("mp4", None, 640, 480, has_sound=False, tracks=1)
TURNED = (0, 1, -1, 0)


def movie(*boxes: bytes, header: bytes = mvhd(1000, 8500)) -> bytes:
    return FTYP + box(b"moov", header, *boxes) + MDAT


def fragment(*runs: bytes, flags: int = 0x20000, begin: int | None = 0) -> bytes:
    tfdt = b"" if begin is None else full(b"tfdt", "I", begin)
    return box(b"moof", full(b"mfhd", "I", 1), box(b"traf", full(b"tfhd", "I", 1, flags=flags), tfdt, *runs))


def of_media(ticks: int, edits: Sequence[Sequence[int]] = (), *, shift: int = 0, kind: bytes = b"vide") -> bytes:
    """Build a track of so many samples of 1/1000 s, with an edit list."""
    elst = full(b"elst", "I" + "Iihh" * len(edits), len(edits), *(number for edit in edits for number in (*edit, 0)))
    tables = counted(b"ctts", [(1, shift)]) + samples(ticks=[(ticks, 1)])
    return trak(640, 480, tables=tables, edits=elst if edits else b"", kind=kind)


INDEXED = fragment(full(b"trun", "I", 3), flags=0, begin=None) + MDAT
WHOLE: dict[str, tuple[bytes, Clip]] = {
    "moov first": (FTYP + MOOV + MDAT, FACTS),
    "moov last": (FTYP + box(b"free") + MDAT + MOOV, FACTS),
    "64-bit sizes": (
        box(b"ftyp", b"mp42\0\0\0\0", wide=True)
        + box(b"mdat", b"m" * 50, wide=True)
        + box(b"moov", mvhd(1000, 8500), trak(1280, 720), wide=True),
        SILENT,
    ),
    "64-bit times": (movie(trak(1280, 720, version=1), header=mvhd(600, 5100, version=1)), SILENT),
    "64-bit offsets": (movie(trak(1280, 720, tables=samples(wide=True))), SILENT),
    "mov": (box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"wide") + MDAT + MOOV, replace(FACTS, container="mov")),
    "an old mov without ftyp": (box(b"wide") + MDAT + MOOV, replace(FACTS, container="mov")),
    "an absurd picture beside a real one": (
        movie(trak(65535, 720), trak(1280, 720), trak(16, 65535)),
        replace(SILENT, tracks=3),
    ),
    "only an absurd picture": (movie(trak(16_385, 720)), Clip("mp4", 8.5, has_sound=False, tracks=1)),
    "two pictures": (movie(trak(160, 120), trak(1280, 720)), replace(SILENT, tracks=2)),
    "a larger picture that is switched off": (
        movie(trak(1280, 720), trak(header=tkhd(1920, 1080, flags=0))),
        replace(SILENT, tracks=2),
    ),
    "boxes nobody knows": (
        FTYP + box(b"uuid", b"u" * 30) + MOOV + box(b"\0\1\2\3", b"z") + MDAT,
        FACTS,
    ),
    "junk in moov": (movie(trak(1280, 720), b"\0\0\0\3junk" + bytes(9)), SILENT),
    "zeros at the end of moov": (movie(trak(1280, 720), bytes(4)), SILENT),
    "a short mvhd": (movie(trak(640, 480), header=box(b"mvhd", b"\0")), UNKNOWN),
    "a short tkhd": (movie(trak(header=box(b"tkhd", b"\1"))), Clip("mp4", 8.5, has_sound=False, tracks=1)),
    "a second moov": (FTYP + MOOV + MDAT + box(b"moov", mvhd(1, 1), trak(16, 16)), FACTS),
    "a sound whose samples are elsewhere": (
        movie(trak(1280, 720), trak(kind=b"hint", tables=samples(at=(10**6,)))),
        replace(SILENT, tracks=2),
    ),
    "a duration that says unknown": (movie(trak(640, 480), header=mvhd(1000, 2**32 - 1)), UNKNOWN),
    "a wide duration that says unknown": (movie(trak(640, 480), header=mvhd(1000, 2**64 - 1, version=1)), UNKNOWN),
    "no time scale": (movie(trak(640, 480), header=mvhd(0, 5)), UNKNOWN),
    "a duration of ten days": (movie(trak(640, 480), header=mvhd(1, 864_000)), replace(UNKNOWN, duration=864_000.0)),
    "a duration beyond ten days": (movie(trak(640, 480), header=mvhd(1, 864_001)), UNKNOWN),
    "a duration of 1e15 s": (movie(trak(640, 480), header=mvhd(1, 10**15, version=1)), UNKNOWN),
    "a stated duration that is not that of the samples": (movie(of_media(4000)), replace(UNKNOWN, duration=4.0)),
    "samples of an absurd duration": (
        movie(trak(640, 480, tables=samples(ticks=[(2**31 - 1, 2**31 - 1)]))),
        replace(UNKNOWN, duration=8.5),
    ),
    "a fragment": (
        FTYP + box(b"moov", mvhd(1000, 0), trak(640, 480, tables=b""), MVEX) + fragment(full(b"trun", "I", 3)) + MDAT,
        replace(UNKNOWN, duration=1.5),
    ),
    "a fragment with a length for each sample": (
        FTYP
        + box(b"moov", mvhd(1000, 0), trak(640, 480, tables=b""), MVEX)
        + fragment(full(b"trun", "6I", 3, 40, 10, 40, 10, 45, flags=0x300), begin=7_000)
        + MDAT,
        replace(UNKNOWN, duration=0.125),
    ),
    "fragments that begin anew": (
        FTYP
        + box(b"moov", mvhd(1000, 0), trak(640, 480, tables=b""), MVEX)
        + 2 * (fragment(full(b"trun", "I", 3)) + MDAT),
        replace(UNKNOWN, duration=3.0),
    ),
    "samples, and a fragment after them": (
        FTYP
        + box(b"moov", mvhd(1000, 1000), of_media(1000), MVEX)
        + MDAT
        + fragment(full(b"trun", "I", 3), begin=1000)
        + MDAT,
        replace(UNKNOWN, duration=2.5),
    ),
    "an index of fragments": (
        FTYP
        + box(b"moov", mvhd(1000, 0), trak(640, 480, tables=b""), MVEX)
        + full(b"sidx", "4I2H3I", 1, 1000, 0, 0, 0, 1, len(INDEXED), 0, 0)
        + INDEXED,
        replace(UNKNOWN, duration=1.5),
    ),
}
FIRST = b"styp uuid free skip wide pnot".split()
WHOLE |= {f"{name.decode()} first": (box(name, b"x" * 20) + FTYP + MOOV + MDAT, FACTS) for name in FIRST}
# The last box says "up to the end": without the tables nobody could tell where the end is.
TO_END = FTYP + MOOV + struct.pack(">I4s", 0, b"mdat") + b"m" * 50


def element(number: str, *bodies: bytes | int, size: int | None = None) -> bytes:
    """Build a Matroska element; ``size`` is written instead of the true one, -1 for unknown."""
    body = b"".join(part.to_bytes(8) if isinstance(part, int) else part for part in bodies)
    size = len(body) if size is None else size
    return bytes.fromhex(number) + (size & (1 << 56) - 1 | 1 << 56).to_bytes(8) + body


def matroska(*video: bytes, kind: bytes = b"webm", end: bytes = b"", of: int = 1, size: int | None = None) -> bytes:
    info = element("1549a966", element("2ad7b1", 10**6), element("4489", struct.pack(">f", 8500)))
    sides = element("b0", 640), element("ba", 480)
    tracks = element("1654ae6b", element("ae", element("83", of), element("e0", *sides, *video)))
    cluster = element("1f43b675", element("e7", 0), element("a3", b"picture"), size=size)
    head = element("1a45dfa3", element("4282", kind))
    return head + element("18538067", info, tracks, cluster, end, size=size)


WEBM = Clip("webm", 8.5, 640, 480, has_sound=False, tracks=1)
CUES = element("1c53bb6b", b"x" * 20)
MATROSKA: dict[str, tuple[bytes, Clip]] = {
    "webm": (matroska(end=CUES), WEBM),
    "matroska": (matroska(kind=b"matroska"), replace(WEBM, container="mkv")),
    "a kind with zeros after it": (matroska(kind=b"webm\0\0"), WEBM),
    "a webm of unknown size": (matroska(size=-1), WEBM),
    "wide pixels": (matroska(element("54b0", 853)), replace(WEBM, width=853)),
    "a shape": (matroska(element("54b0", 16), element("54ba", 9), element("54b2", 3)), replace(WEBM, width=853)),
    "a crop": (matroska(element("54aa", 8), element("54dd", 40)), replace(WEBM, width=600, height=472)),
    "an absurd crop": (matroska(element("54aa", 2**63)), replace(WEBM, width=None, height=None)),
    "a void": (matroska(end=element("ec", bytes(30))), WEBM),
}


ALL = WHOLE | MATROSKA
# What follows the last picture, and what nobody announced, cannot be missed.
OPEN_ENDED = {"a second moov", "fragments that begin anew", "samples, and a fragment after them"}


def walked(*pieces: bytes | memoryview, is_all: bool = False) -> Clip:
    walk = BoxWalk()
    for piece in pieces:
        walk.feed(piece)
    assert walk.size == sum(map(len, pieces))
    return walk.finish(is_all)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@pytest.mark.parametrize(("data", "clip"), ALL.values(), ids=ALL.keys())
def test_a_whole_clip_says_what_it_is(data: bytes, clip: Clip) -> None:
    assert walked(data) == clip


@pytest.mark.parametrize(("data", "clip"), ALL.values(), ids=ALL.keys())
def test_it_says_the_same_byte_by_byte(data: bytes, clip: Clip) -> None:
    assert walked(*(data[i : i + 1] for i in range(len(data)))) == clip


@settings(deadline=None)
@given(st.sampled_from([*ALL.values(), (TO_END, FACTS)]), st.lists(st.integers(0), max_size=8))
def test_however_the_bytes_are_cut_up_they_say_the_same(whole: tuple[bytes, Clip], places: list[int]) -> None:
    data, clip = whole
    assert walked(*cut(data, places)) == clip
    assert walked(*(memoryview(piece) for piece in cut(data, places))) == clip


@pytest.mark.parametrize("name", sorted({*ALL} - OPEN_ENDED))
def test_no_proper_beginning_of_a_clip_passes_for_a_whole_one(name: str) -> None:
    data, _ = ALL[name]
    for length in range(len(data)):
        with pytest.raises(ContentError):
            walked(data[:length])


def test_a_last_box_up_to_the_end_is_whole_wherever_it_ends() -> None:
    start = len(FTYP + MOOV)
    for length in range(start):
        with pytest.raises(ContentError):
            walked(TO_END[:length])
    assert {walked(TO_END[:length]) for length in range(start + 8, len(TO_END) + 1)} == {FACTS}


BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "The content has 0 bytes, too few for any video."),
    "seven bytes": (FTYP[:7], "The content has 7 bytes, too few for any video."),
    "a JPEG": (
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        "The content is no known video container; it begins with b'\\xff\\xd8\\xff\\xe0\\x00\\x10JF'.",
    ),
    "HTML": (
        b"<!DOCTYPE html>",
        "The content is no known video container; it begins with b'<!DOCTYP'.",
    ),
    "JSON": (
        b'{"error": {"message": "no"}}',
        "The content is no known video container; it begins with b'{\"error\"'.",
    ),
    "no moov": (FTYP + MDAT, "The content (232 bytes) has no moov box: no whole video."),
    "no mdat": (FTYP + MOOV, f"The content ({len(FTYP + MOOV)} bytes) has no mdat box: no whole video."),
    "only ftyp": (FTYP, "The content (24 bytes) has no moov and no mdat box: no whole video."),
    "cut inside mdat": (
        FTYP + MOOV + MDAT[:-5],
        f"The content is cut off after {len(FTYP + MOOV + MDAT) - 5} bytes, inside box b'mdat', "
        "5 of its bytes are missing.",
    ),
    "cut inside moov": (
        FTYP + MDAT + MOOV[:-5],
        f"The content is cut off after {len(FTYP + MOOV + MDAT) - 5} bytes, inside box b'moov', "
        "5 of its bytes are missing.",
    ),
    "cut inside a header": (
        FTYP + MOOV + MDAT[:5],
        f"The content ({len(FTYP + MOOV) + 5} bytes) has no mdat box: no whole video.",
    ),
    "cut inside the header of a second mdat": (
        FTYP + MOOV + MDAT + box(b"mdat", b"m" * 50, wide=True)[:12],
        f"The content is cut off after {len(FTYP + MOOV + MDAT) + 12} bytes.",
    ),
    "a sample that is not there": (
        clip(8, 1280, 720, b"m" * 50)[:-58] + struct.pack(">Q", 16 + 45) + b"m" * 45,
        f"The content is cut off after {len(clip(8, 1280, 720, b'')) + 45} bytes, 5 of its bytes are missing.",
    ),
    "a size smaller than its header": (
        FTYP + struct.pack(">I4s", 7, b"moov"),
        "The content is a broken MP4: box b'moov' says it has 7 bytes.",
    ),
    "a wide size smaller than its header": (
        FTYP + struct.pack(">I4sQ", 1, b"mdat", 15),
        "The content is a broken MP4: box b'mdat' says it has 15 bytes.",
    ),
    "a huge ftyp": (
        struct.pack(">I4s", MAX_KEPT + 1, b"ftyp"),
        f"The content is a broken MP4: its tables have more than {MAX_KEPT} bytes.",
    ),
    "a huge table": (
        FTYP + struct.pack(">I4sI4s", 2**31, b"moov", 2**30, b"mvhd"),
        f"The content is a broken MP4: its tables have more than {MAX_KEPT} bytes.",
    ),
    "many tables": (
        FTYP + struct.pack(">I4sI4s", 2**31, b"moov", 2**30, b"trak") + box(b"tkhd", bytes(2**16)) * 1024,
        f"The content is a broken MP4: its tables have more than {MAX_KEPT} bytes.",
    ),
    "a webm without pictures": (
        matroska().replace(bytes.fromhex("1f43b675"), bytes.fromhex("1c53bb6b")),
        f"The content ({len(matroska())} bytes) has no Cluster box: no whole video.",
    ),
    "a webm that is cut off": (
        matroska(end=CUES)[:-5],
        f"The content is cut off after {len(matroska(end=CUES)) - 5} bytes, inside box b'Segment', "
        "5 of its bytes are missing.",
    ),
}


NOTHING_TO_SEE = {
    "no track": movie(),
    "164 bytes without a track": FTYP + box(b"moov", mvhd(1000, 8500)) + box(b"mdat", b"m" * 16),
    "an empty moov": FTYP + box(b"moov") + box(b"mdat"),
    "only sound": movie(trak(kind=b"soun")),
    "no samples": movie(trak(640, 480, tables=b"")),
    "no fragments": movie(trak(640, 480, tables=b""), MVEX),
    "fragments of another track": movie(trak(header=tkhd(640, 480, number=2), tables=b""), MVEX) + INDEXED,
    "a fragment without samples": movie(trak(640, 480, tables=b""), MVEX) + fragment(full(b"trun", "I", 0)),
    "a webm of only sound": matroska(of=2),
}
BROKEN |= {
    name: (data, f"The content ({len(data)} bytes) has no video track with pictures in it: nothing to see.")
    for name, data in NOTHING_TO_SEE.items()
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_whole_clip_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ContentError) as caught:
        walked(data)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n" + bytes(20), b"GIF89a" + bytes(20), b"RIFF\0\0\0\0AVI ", bytes(64)]
)
def test_another_kind_of_file_is_refused_at_its_first_bytes(data: bytes) -> None:
    walk = BoxWalk()
    with pytest.raises(ContentError):
        walk.feed(data)


def test_a_large_mdat_is_not_held_in_memory() -> None:
    walk = BoxWalk()
    walk.feed(FTYP + MOOV + struct.pack(">I4sQ", 1, b"mdat", 16 + 2**40))
    for _ in range(3):
        walk.feed(bytes(2**20))
    assert len(walk._pending) == 0


TAILS = [bytes(4), bytes(8), b"\n", b"TAG" + bytes(125), b'{"error": "upstream closed"}', box(b"free", bytes(30))[:20]]


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", ["moov first", "moov last", "webm", "64-bit times"])
def test_bytes_after_a_whole_clip_are_counted_and_play_no_part(name: str, tail: bytes) -> None:
    data, clip = ALL[name]
    assert {walked(data, tail), walked(data, tail, is_all=True)} == {replace(clip, surplus=len(tail))}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", ["a fragment", "an index of fragments", "a webm of unknown size"])
def test_after_fragments_they_need_an_announced_length(name: str, tail: bytes) -> None:
    data, clip = ALL[name]
    assert walked(data, tail, is_all=True) == replace(clip, surplus=len(tail))
    with pytest.raises(ContentError):
        walked(data, tail)
    if not name.startswith("a webm"):  # an index of all fragments is the last box
        index = box(b"mfra", bytes(20))
        assert walked(data, index, tail) == replace(clip, surplus=len(tail))


@pytest.mark.parametrize("name", [b"moof", b"mdat", b"moov"])
def test_a_cut_box_that_plays_is_an_error_even_then(name: bytes) -> None:
    for data in (FTYP + MOOV + MDAT, WHOLE["a fragment"][0]):
        for begun in (box(name, bytes(30))[:-1], box(name, bytes(30), wide=True)[:8]):
            with pytest.raises(ContentError):
                walked(data, begun, is_all=True)


def test_an_index_shows_that_a_fragment_is_missing() -> None:
    data = WHOLE["an index of fragments"][0]
    twice = data.replace(struct.pack(">I", len(INDEXED)), struct.pack(">I", 2 * len(INDEXED)))
    with pytest.raises(ContentError):
        walked(twice, is_all=True)


def test_the_tables_find_the_end_of_an_mdat_without_one() -> None:
    data = clip(8, 1280, 720, b"m" * 50)
    to_end = data[:-66] + box(b"wide") + struct.pack(">I4s", 0, b"mdat") + data[-50:]
    assert walked(to_end) == Clip("mp4", 8.0, 1280, 720, has_sound=False, tracks=1)
    for length in range(len(to_end)):
        with pytest.raises(ContentError):
            walked(to_end[:length])


@pytest.mark.parametrize(
    ("tables", "end"),
    [
        (samples(at=(100, 300), sizes=(1, 2, 3, 4), runs=((1, 2, 1),)), 307),
        (samples(at=(300, 100), sizes=(1, 2, 3, 4), runs=((1, 2, 1),)), 303),
        (samples(at=(100, 200, 300), sizes=(1, 2, 3, 4, 5, 6), runs=((1, 3, 1), (2, 2, 1), (3, 1, 1))), 306),
        (samples(at=(100, 200, 300), sizes=(1, 2, 3, 4, 5, 6), runs=((1, 1, 1), (3, 4, 1))), 318),
        (samples(at=(300,), sizes=(1, 2), runs=()), 300),
        (full(b"stsz", "II", 7, 3) + counted(b"stsc", [(1, 3, 1)]) + counted(b"stco", [(300,)]), 321),
    ],
)
def test_a_clip_is_as_long_as_its_last_sample_reaches(tables: bytes, end: int) -> None:
    head = FTYP + box(b"moov", mvhd(1000, 8500), trak(1280, 720, tables=tables))
    end = max(end, len(head) + 8)
    assert walked(head + box(b"mdat", bytes(end - len(head) - 8))) == SILENT
    if end > len(head) + 8:
        with pytest.raises(ContentError):
            walked(head + box(b"mdat", bytes(end - len(head) - 9)))


@pytest.mark.parametrize(
    ("turn", "size"),
    [
        ((0, 1, -1, 0), (480, 640)),
        ((0, -1, 1, 0), (480, 640)),
        ((-1, 0, 0, -1), (640, 480)),
        ((0, 0, 0, 0), (640, 480)),
        ((0, 1, 1, 0), (480, 640)),
    ],
)
def test_a_turned_picture_has_its_sides_swapped(turn: Sequence[float], size: tuple[int, int]) -> None:
    for movie_turn, swapped in ((UPRIGHT, size), (TURNED, size[::-1])):
        found = walked(movie(trak(header=tkhd(640, 480, turn=turn)), header=mvhd(1000, 8500, turn=movie_turn)))
        assert (found.width, found.height) == swapped


def coded(width: int, height: int, shape: tuple[int, int] | None) -> bytes:
    pasp = box(b"pasp", struct.pack(">II", *shape)) if shape else b""
    entry = box(b"avc1", bytes(24), struct.pack(">HH", width, height), bytes(50), pasp)
    return full(b"stsd", "I", 1, rest=entry) + SAMPLES


@pytest.mark.parametrize(
    ("track", "shape", "size"),
    [
        ((0, 0), None, (720, 576)),
        ((0, 0), (16, 15), (768, 576)),
        ((0, 0), (0, 15), (720, 576)),
        ((720, 576), (16, 15), (768, 576)),
        ((720, 576), (1, 1), (720, 576)),
        ((1024, 576), (16, 15), (1024, 576)),
        ((426.67, 240), None, (427, 240)),
        ((60_000, 576), None, (720, 576)),
    ],
)
def test_the_size_on_the_screen_is_the_tracks_or_made_from_the_pixels(
    track: tuple[int, int], shape: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    found = walked(movie(trak(*track, tables=coded(720, 576, shape))))
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    ("edits", "shift", "seconds"),
    [
        ([], 0, 4.0),
        ([(4000, 0, 1)], 0, 4.0),
        ([(4000, 80, 1)], 80, 4.0),
        ([(3900, 100, 1)], 0, 3.9),
        ([(1000, -1, 1), (4000, 0, 1)], 0, 5.0),
        ([(1000, 0, 1), (1000, 2000, 1)], 0, 2.0),
        ([(9000, 0, 1)], 0, 4.0),
        ([(9000, 0, 0)], 0, 9.0),
        ([(0, 100, 1)], 0, 3.9),
        ([(0, 80, 1)], 80, 4.0),
        ([(0, 9000, 1)], 0, 8.5),
        ([(2**32 - 1, -1, 1)], 0, 8.5),
    ],
)
def test_the_length_is_what_the_edit_list_leaves_of_the_samples(
    edits: list[tuple[int, int, int]], shift: int, seconds: float
) -> None:
    assert walked(movie(of_media(4000, edits, shift=shift))) == replace(SILENT, width=640, height=480, duration=seconds)


def test_the_longest_track_that_plays_gives_the_length() -> None:
    tracks = [of_media(4000), of_media(4100, kind=b"soun"), of_media(9000, kind=b"text")]
    assert walked(movie(*tracks)) == Clip("mp4", 4.1, 640, 480, has_sound=True, tracks=3)


NAMES = st.sampled_from(b"ftyp moov mdat mvhd tkhd trak free moof traf tfhd trun stsz stsc stco stts elst sidx".split())
NUMBERS = st.sampled_from([0, 1, 7, 8, 9, 15, 16, 17, 24, 32, 100, MAX_KEPT, 2**31, 2**32 - 1])
BOXES = st.recursive(
    st.binary(max_size=120),
    lambda inner: st.lists(
        st.builds(box, NAMES, inner, wide=st.booleans())
        | st.builds(lambda size, name, body: struct.pack(">I4s", size, name) + body, NUMBERS, NAMES, inner)
        | inner,
        max_size=5,
    ).map(b"".join),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=200) | BOXES | BOXES.map(lambda data: FTYP + data), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_are_a_clip_or_a_content_error(data: bytes, places: list[int]) -> None:
    def judged(*pieces: bytes) -> Clip | None:
        try:
            return walked(*pieces)
        except ContentError:
            return None

    assert judged(*cut(data, places)) == judged(data)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 9) | st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), *[st.integers(0, 65535)] * 2)
def test_whatever_a_clip_says_of_itself_can_be_read_back_from_its_manifest(
    scale: int, length: int, width: int, height: int
) -> None:
    moov = mvhd(scale, length, version=1) + trak(width, height, version=1)
    clip = walked(FTYP + box(b"moov", moov) + MDAT)
    facts = {"duration": clip.duration, "width": clip.width, "height": clip.height}
    stored = Manifest("stored", "mine", "file:///cat.mp4", 1.0, **facts)
    assert Manifest.load(stored.dump(), stored.uri) == stored
