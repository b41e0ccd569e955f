"""The walk over a clip's boxes: the same answer however the bytes arrive, and nothing but a whole video passes."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate.clips.mp4 import MAX_KEPT, BoxWalk, Clip
from airflow_provider_wisdomgate.exceptions import ContentError
from airflow_provider_wisdomgate.ledger.record import Manifest


def box(name: bytes, body: bytes = b"", *, wide: bool = False) -> bytes:
    """Build a box; ``wide`` writes its size as a 64-bit number."""
    if wide:
        return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), name) + body


def mvhd(scale: int, length: int, *, version: int = 0) -> bytes:
    times = struct.pack(">QQIQ", 0, 0, scale, length) if version else struct.pack(">IIII", 0, 0, scale, length)
    return box(b"mvhd", bytes([version, 0, 0, 0]) + times + bytes(80))


def trak(width: float, height: float, *, version: int = 0) -> bytes:
    start = bytes([version, 0, 0, 7]) + bytes((88 if version else 76) - 4)
    picture = struct.pack(">II", int(width * 65536), int(height * 65536))
    return box(b"trak", box(b"edts") + box(b"tkhd", start + picture) + box(b"mdia", b"x" * 20))


FTYP = box(b"ftyp", b"isom\0\0\2\0isomavc1")
MOOV = box(b"moov", mvhd(1000, 8500) + trak(0, 0) + trak(1280, 720))
MDAT = box(b"mdat", bytes(range(200)))
FACTS = Clip("mp4", 8.5, 1280, 720)

WHOLE: dict[str, tuple[bytes, Clip]] = {
    "moov first": (FTYP + MOOV + MDAT, FACTS),
    "moov last": (FTYP + box(b"free") + MDAT + MOOV, FACTS),
    "64-bit sizes": (
        box(b"ftyp", b"mp42\0\0\0\0", wide=True)
        + box(b"mdat", b"m" * 50, wide=True)
        + box(b"moov", mvhd(1000, 8500) + trak(1280, 720), wide=True),
        FACTS,
    ),
    "64-bit times": (
        FTYP + box(b"moov", mvhd(600, 5100, version=1) + trak(1280, 720, version=1)) + MDAT,
        FACTS,
    ),
    "mov": (box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"wide") + MDAT + MOOV, Clip("mov", 8.5, 1280, 720)),
    "an old mov without ftyp": (box(b"wide") + MDAT + MOOV, Clip("mov", 8.5, 1280, 720)),
    "no duration (a fragmented clip)": (
        FTYP + box(b"moov", mvhd(1000, 0) + trak(640, 480)) + box(b"moof", b"f") + MDAT,
        Clip("mp4", None, 640, 480),
    ),
    "a duration that says unknown": (
        FTYP + box(b"moov", mvhd(1000, 2**32 - 1) + trak(640, 480)) + MDAT,
        Clip("mp4", None, 640, 480),
    ),
    "a wide duration that says unknown": (
        FTYP + box(b"moov", mvhd(1000, 2**64 - 1, version=1) + trak(640, 480)) + MDAT,
        Clip("mp4", None, 640, 480),
    ),
    "no time scale": (FTYP + box(b"moov", mvhd(0, 5) + trak(640, 480)) + MDAT, Clip("mp4", None, 640, 480)),
    "a duration of ten days": (
        FTYP + box(b"moov", mvhd(1, 864_000) + trak(640, 480)) + MDAT,
        Clip("mp4", 864_000.0, 640, 480),
    ),
    "a duration beyond ten days": (
        FTYP + box(b"moov", mvhd(1, 864_001) + trak(640, 480)) + MDAT,
        Clip("mp4", None, 640, 480),
    ),
    "a duration of 1e15 s": (
        FTYP + box(b"moov", mvhd(1, 10**15, version=1) + trak(640, 480)) + MDAT,
        Clip("mp4", None, 640, 480),
    ),
    "an absurd picture beside a real one": (
        FTYP + box(b"moov", mvhd(1000, 8500) + trak(65535, 720) + trak(1280, 720) + trak(16, 65535)) + MDAT,
        FACTS,
    ),
    "only an absurd picture": (
        FTYP + box(b"moov", mvhd(1000, 8500) + trak(16_385, 720)) + MDAT,
        Clip("mp4", 8.5),
    ),
    "no picture": (FTYP + box(b"moov", mvhd(1000, 8500)) + MDAT, Clip("mp4", 8.5)),
    "an empty moov": (FTYP + box(b"moov") + MDAT, Clip("mp4")),
    "an empty mdat": (FTYP + box(b"moov") + box(b"mdat"), Clip("mp4")),
    "junk inside moov": (FTYP + box(b"moov", b"\0\0\0\3junk" + bytes(9)) + MDAT, Clip("mp4")),
    "a short mvhd and tkhd": (
        FTYP + box(b"moov", box(b"mvhd", b"\0") + box(b"mvhd") + box(b"trak", box(b"tkhd", b"\1"))) + MDAT,
        Clip("mp4"),
    ),
    "two pictures": (FTYP + box(b"moov", trak(160, 120) + trak(1920, 1080)) + MDAT, Clip("mp4", None, 1920, 1080)),
    "boxes nobody knows": (FTYP + box(b"uuid", b"u" * 30) + MOOV + box(b"\0\1\2\3", b"z") + MDAT, FACTS),
}
# The last box says "up to the end", so that where the end is nobody can tell.
TO_END = FTYP + MOOV + struct.pack(">I4s", 0, b"mdat") + b"m" * 50
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01" + b"webm" * 10


def walked(*pieces: bytes) -> Clip:
    walk = BoxWalk()
    for piece in pieces:
        walk.feed(piece)
    assert walk.size == sum(map(len, pieces))
    return walk.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@lru_cache
def real(container: str) -> bytes:
    """Encode half a second of real video."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("libvpx" if container == "webm" else "libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(4):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(("data", "clip"), WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_clip_says_what_it_is(data: bytes, clip: Clip) -> None:
    assert walked(data) == clip


@pytest.mark.parametrize(("data", "clip"), WHOLE.values(), ids=WHOLE.keys())
def test_it_says_the_same_byte_by_byte(data: bytes, clip: Clip) -> None:
    assert walked(*(data[i : i + 1] for i in range(len(data)))) == clip


@settings(deadline=None)
@given(st.sampled_from([*WHOLE.values(), (TO_END, FACTS), (WEBM, Clip("webm"))]), st.lists(st.integers(0), max_size=8))
def test_however_the_bytes_are_cut_up_they_say_the_same(whole: tuple[bytes, Clip], places: list[int]) -> None:
    data, clip = whole
    assert walked(*cut(data, places)) == clip
    assert walked(*(memoryview(piece) for piece in cut(data, places))) == clip  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WHOLE)
def test_no_proper_beginning_of_a_clip_passes_for_a_whole_one(name: str) -> None:
    data, _ = WHOLE[name]
    for length in range(len(data)):
        with pytest.raises(ContentError):
            walked(data[:length])


@pytest.mark.parametrize(
    ("container", "clip"),
    [("mp4", Clip("mp4", 0.5, 64, 48)), ("mov", Clip("mov", 0.5, 64, 48)), ("webm", Clip("webm"))],
)
def test_a_real_clip_says_what_it_is(container: str, clip: Clip) -> None:
    assert walked(real(container)) == clip
    assert walked(*cut(real(container), list(range(0, 5000, 7)))) == clip


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_no_proper_beginning_of_a_real_clip_passes_for_a_whole_one(container: str) -> None:
    data = real(container)
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
    "cut inside a header": (
        FTYP + MOOV + MDAT[:5],
        f"The content is cut off after {len(FTYP + MOOV) + 5} bytes, inside box b'moov'.",
    ),
    "a size smaller than its header": (
        FTYP + struct.pack(">I4s", 7, b"moov"),
        "The content is a broken MP4: box b'moov' says it has 7 bytes.",
    ),
    "a wide size smaller than its header": (
        FTYP + struct.pack(">I4sQ", 1, b"mdat", 15),
        "The content is a broken MP4: box b'mdat' says it has 15 bytes.",
    ),
    "a huge moov": (
        FTYP + struct.pack(">I4s", MAX_KEPT + 1, b"moov"),
        f"The content is a broken MP4: box b'moov' says it has {MAX_KEPT + 1} bytes.",
    ),
    "a huge wide moov": (
        FTYP + struct.pack(">I4sQ", 1, b"moov", 2**62),
        f"The content is a broken MP4: box b'moov' says it has {2**62} bytes.",
    ),
    "a huge ftyp": (
        struct.pack(">I4s", MAX_KEPT + 1, b"ftyp"),
        f"The content is a broken MP4: box b'ftyp' says it has {MAX_KEPT + 1} bytes.",
    ),
    "JSON after a whole clip": (
        FTYP + MOOV + MDAT + b'{"error": "upstream closed"}',
        f"The content is cut off after {len(FTYP + MOOV + MDAT) + 28} bytes, inside box b'ror\"', "
        f"{0x7B226572 - 28} of its bytes are missing.",
    ),
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
    assert sum(map(len, walk._kept.values())) == len(FTYP) + len(MOOV) - 16


NAMES = st.sampled_from([b"ftyp", b"moov", b"mdat", b"mvhd", b"tkhd", b"trak", b"free", b"wide", b"pnot"])
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
