"""Makes clips of many kinds with PyAV, and asks PyAV what plays in them: the reference of the box walk.

`./scripts/bench containers` compares all of them; the tests take some.
"""

from __future__ import annotations

import io
import math
import random
import struct
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from airflow_provider_wisdomgate.clips.mp4 import BoxWalk, Clip
from airflow_provider_wisdomgate.exceptions import ContentError

RATE = 44_100
TOLERANCE, FRAME = 0.002, 0.041
# What is damaged most: boxes, and Matroska's elements.
NAMES = b"ftyp moov mvhd trak tkhd elst mdhd hdlr stsd stts ctts stsz stsc stco mvex trex moof tfhd tfdt trun".split()
NAMES += [b"sidx", b"mdat", b"\x42\x82", b"\x44\x89", b"\xae", b"\x83", b"\xb0", b"\x1f\x43\xb6\x75", b"\xa3"]
TAILS = {
    "zeros": bytes(4),
    "a newline": b"\n",
    "ID3": b"TAG" + b"a cat".ljust(125, b"\0"),
    "a page": b"<html>502 Bad Gateway</html>",
    "a cut free box": b"\0\0\1\0free" + bytes(20),
    "a free box": b"\0\0\0\x10free" + bytes(8),
    "many zeros": bytes(5000),
}
FAST = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


@dataclass(frozen=True)
class Recipe:
    """What a clip is made of. ``times`` are the frames' times in ticks of 1/``rate`` s."""

    container: str = "mp4"
    codec: str | None = "libx264"
    size: tuple[int, int] = (64, 48)
    pixels: str = "yuv420p"
    rate: int = 25
    times: Sequence[int] = range(25)
    sound: str | None = None
    sound_seconds: float = 1.0
    flags: str = ""
    options: dict[str, str] = field(default_factory=dict)
    encoder: dict[str, str] = field(default_factory=dict)
    shape: Fraction | None = None
    tail: bytes = b""
    degrees: int = 0
    is_streamed: bool = False


class Unseekable(io.RawIOBase):
    """A pipe: what is written cannot be changed any more."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def make(recipe: Recipe) -> bytes:
    """Encode and mux."""
    options = {**recipe.options, **({"movflags": recipe.flags} if recipe.flags else {})}
    with tempfile.TemporaryDirectory(prefix="made-clips-") as folder:
        path = Path(folder, "clip")
        pipe = Unseekable()
        form = {"mkv": "matroska"}.get(recipe.container, recipe.container)
        with av.open(pipe if recipe.is_streamed else str(path), "w", format=form, options=options) as output:
            fill(output, recipe)
        return turned(bytes(pipe.data if recipe.is_streamed else path.read_bytes()), recipe.degrees) + recipe.tail


def turned(clip: bytes, degrees: int) -> bytes:
    """Write a rotation into the track's header: FFmpeg's muxers take none from PyAV."""
    if not degrees:
        return clip
    place = clip.index(b"tkhd") + 4 + 40
    one = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    a, b, c, d = (number << 16 for number in one)
    return clip[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + clip[place + 36 :]


def fill(output: Any, recipe: Recipe) -> None:
    picture = sound = None
    if recipe.codec:
        encoder = {**FAST.get(recipe.codec, {}), **recipe.encoder}
        picture = output.add_stream(recipe.codec, rate=recipe.rate, options=encoder)
        picture.width, picture.height = recipe.size
        picture.pix_fmt = recipe.pixels
        picture.codec_context.time_base = Fraction(1, recipe.rate)
        if recipe.shape:
            picture.sample_aspect_ratio = picture.codec_context.sample_aspect_ratio = recipe.shape
    if recipe.sound:
        sound = output.add_stream(recipe.sound, rate=48_000 if recipe.sound == "libopus" else RATE)
        sound.codec_context.layout = "mono"
    packets = [*(pictures(picture, recipe) if picture else ()), *(sounds(sound, recipe) if sound else ())]
    for packet in packets:
        output.mux(packet)


def pictures(stream: Any, recipe: Recipe) -> Iterator[Any]:
    for number, time in enumerate(recipe.times):
        frame = av.VideoFrame(*recipe.size, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([number * 9 % 256]) * plane.buffer_size)
        frame = frame.reformat(format=recipe.pixels)
        frame.pts, frame.time_base = time, Fraction(1, recipe.rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def sounds(stream: Any, recipe: Recipe) -> Iterator[Any]:
    rate = stream.codec_context.sample_rate
    count, step = int(rate * recipe.sound_seconds), 960
    for start in range(0, count, step):
        wave = array("f", (math.sin(at / 20) for at in range(start, min(start + step, count))))
        frame = av.AudioFrame(format="fltp", layout="mono", samples=len(wave), align=1)
        frame.planes[0].update(wave.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


@dataclass(frozen=True)
class Played:
    """What PyAV shows: seconds (None: unknown), when pictures and sounds begin and end, the size on the screen."""

    duration: float | None
    begin: float
    end: float
    width: int
    height: int
    has_sound: bool


def played(data: bytes) -> Played | None:
    """Ask PyAV; None if it finds no picture."""
    try:
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            length = None if container.duration is None else container.duration / 1e6
            frames = [frame for frame in container.decode(stream, *container.streams.audio) if frame.time is not None]
            picture = next(frame for frame in frames if isinstance(frame, av.VideoFrame))
            end = max(frame.time + float((frame.duration or 0) * frame.time_base) for frame in frames)
            size = round(stream.width * (stream.sample_aspect_ratio or 1)), stream.height
            if abs(picture.rotation) % 180 == 90:
                size = size[::-1]
            return Played(length, min(frame.time for frame in frames), end, *size, bool(container.streams.audio))
    except (av.FFmpegError, StopIteration, IndexError):
        return None


def packets(data: bytes) -> Counter[int]:
    """Count what PyAV reads of each stream."""
    try:
        with av.open(io.BytesIO(data)) as container:
            return Counter(packet.stream_index for packet in container.demux() if packet.size)
    except av.FFmpegError:
        return Counter()


def judged(data: bytes, step: int = 2**20, *, is_all: bool = False) -> Clip | str:
    """Walk a clip in chunks; return what it is, or why it is none."""
    walk = BoxWalk()
    try:
        for start in range(0, len(data), step):
            walk.feed(data[start : start + step])
        return walk.finish(is_all)
    except ContentError as error:
        return error.message


def differs(clip: Clip | str, reference: Played | None) -> str:
    """Name what differs: nothing, or what of it PyAV's decoder shows as the walk does, though its length is another."""
    if isinstance(clip, str) or reference is None:
        return "" if isinstance(clip, str) and reference is None else "one of them finds no video"
    if (clip.width, clip.height) != (reference.width, reference.height):
        return "the size"
    if clip.has_sound != reference.has_sound:
        return "the sound"
    if clip.duration is None or reference.duration is None:
        return "" if clip.duration is reference.duration else "one of them knows no length"
    if abs(clip.duration - reference.duration) <= TOLERANCE:
        return ""
    ends = reference.end, reference.end - reference.begin
    return "only PyAV's stated length" if any(abs(clip.duration - end) <= FRAME for end in ends) else "the length"


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Do a few things to a clip: forge numbers near a box's name, flip bits, cut out, put in."""
    clip = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        name = chance.choice(NAMES)
        place = clip.find(name) - 4 + chance.randrange(60) if name in clip else chance.randrange(len(clip) or 1)
        place = max(place, 0)
        forged = chance.choice([0, 1, 7, 8, 9, 16, 2**31, 2**32 - 1, chance.getrandbits(32), chance.randrange(10**4)])
        kind = chance.randrange(8)
        if kind < 5:
            clip[place : place + 4] = forged.to_bytes(4)
        elif kind == 5:
            del clip[place : place + chance.randrange(40)]
        elif kind == 6:
            clip[place:place] = chance.randbytes(chance.randrange(30))
        else:
            del clip[chance.randrange(len(clip) or 1) :]
    return bytes(clip)


B_FRAMES = {"preset": "veryfast", "bf": "2", "g": "12"}
# One row for each way to write an MP4 that FFmpeg knows and generators use.
WRITTEN: dict[str, dict[str, Any]] = {
    "plain": {},
    "faststart": {"flags": "faststart"},
    "hint tracks": {"flags": "rtphint"},
    "reserved moov": {"options": {"moov_size": "20000"}},
    "no edit list": {"options": {"use_editlist": "0"}},
    "negative offsets": {"flags": "negative_cts_offsets"},
    "movie clock": {"options": {"movie_timescale": "90000", "video_track_timescale": "600"}},
    "64-bit": {"options": {"video_track_timescale": "4000000"}},
    "empty moov": {"flags": "frag_keyframe+empty_moov"},
    "moof base": {"flags": "frag_keyframe+empty_moov+default_base_moof"},
    "no base": {"flags": "frag_keyframe+empty_moov+omit_tfhd_offset"},
    "moov with samples": {"flags": "frag_keyframe"},
    "late moov": {"flags": "frag_keyframe+delay_moov"},
    "dash": {"flags": "dash+frag_keyframe"},
    "dash, one index": {"flags": "dash+frag_keyframe+global_sidx"},
    "cmaf": {"flags": "cmaf+frag_keyframe"},
    "each frame": {"flags": "frag_every_frame+empty_moov+default_base_moof"},
    "separate moofs": {"flags": "frag_keyframe+empty_moov+separate_moof"},
    "short fragments": {"flags": "empty_moov", "options": {"frag_duration": "200000"}},
    "hybrid": {"flags": "hybrid_fragmented"},
    "smooth": {"flags": "isml+frag_keyframe+empty_moov"},
    "no trailer": {"flags": "frag_keyframe+empty_moov+skip_trailer"},
}
CODECS: dict[str, dict[str, Any]] = {
    "h264": {},
    "h264, b-frames": {"encoder": B_FRAMES},
    "h264 10 bit": {"pixels": "yuv420p10le"},
    "h264 444": {"pixels": "yuv444p"},
    "hevc": {"codec": "libx265"},
    "hevc, 10 bit": {"codec": "libx265", "pixels": "yuv420p10le"},
    "av1": {"codec": "libsvtav1"},
    "av1, 10 bit": {"codec": "libsvtav1", "pixels": "yuv420p10le"},
    "vp9": {"codec": "libvpx-vp9"},
    "mpeg4": {"codec": "mpeg4"},
    "mjpeg": {"codec": "mjpeg", "pixels": "yuvj420p"},
}
LENGTHS: dict[str, dict[str, Any]] = {
    "one frame": {"times": [0]},
    "two frames": {"times": [0, 1]},
    "an odd size": {"size": (66, 50)},
    "portrait": {"size": (96, 160)},  # libx265 corrupts memory below 64 pixels
    "wide pixels": {"shape": Fraction(4, 3)},
    "narrow pixels": {"shape": Fraction(8, 9)},
    "29.97": {"rate": 30, "times": range(40)},
    "variable": {"times": [0, 1, 2, 10, 11, 30, 31, 50]},
    "begins late": {"times": range(25, 50)},
    "long sound": {"sound": "aac", "sound_seconds": 2.5},
    "short sound": {"sound": "aac", "sound_seconds": 0.3},
    "late picture": {"sound": "aac", "times": range(10, 35)},
    "mp3": {"sound": "libmp3lame"},
    "60 s": {"rate": 1, "times": range(60)},
}


def recipes() -> dict[str, Recipe]:
    """Return all of them by name."""
    made: dict[str, Recipe] = {}
    for way, how in WRITTEN.items():
        made[f"mp4, {way}"] = Recipe(**how)
        made[f"mp4, {way}, b-frames and sound"] = Recipe(**how, encoder=B_FRAMES, sound="aac")
    for codec, how in CODECS.items():
        for container in ("mp4", "mkv", *(["mov"] if "vp9" not in codec and "av1" not in codec else [])):
            made[f"{container}, {codec}"] = Recipe(container, **how)
    for way in ("plain", "no edit list", "moof base", "dash"):
        made[f"mp4, variable with b-frames, {way}"] = Recipe(**WRITTEN[way], **LENGTHS["variable"], encoder=B_FRAMES)
    made["mp4, late picture with b-frames"] = Recipe(**LENGTHS["late picture"], encoder=B_FRAMES)
    for length, how in LENGTHS.items():
        for way in ("plain", "moof base", "dash"):
            made[f"mp4, {length}, {way}"] = Recipe(**WRITTEN[way], **how)
        for container in ("mov", "mkv"):
            made[f"{container}, {length}"] = Recipe(container, **how)
    for codec in ("libvpx", "libvpx-vp9", "libsvtav1"):
        made[f"webm, {codec}"] = Recipe("webm", codec)
        made[f"webm, {codec}, opus"] = Recipe("webm", codec, sound="libopus")
        made[f"webm, {codec}, streamed"] = Recipe("webm", codec, is_streamed=True)
    for form in ("ismv", "ipod", "f4v", "3gp"):
        made[form] = Recipe(form)
    for container in ("mp4", "mov"):
        for degrees in (90, 180, 270):
            made[f"{container}, turned {degrees}"] = Recipe(container, degrees=degrees)
    for name, tail in TAILS.items():
        made[f"mp4, then {name}"] = Recipe(tail=tail)
        made[f"mp4 in fragments, then {name}"] = Recipe(tail=tail, **WRITTEN["moof base"])
    for container in ("mp4", "mov", "mkv"):
        made[f"{container}, only sound"] = Recipe(container, None, sound="aac")
    return made
