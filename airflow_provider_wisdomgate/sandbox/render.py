"""Draws a prompt into a real video. Never AI, never a network, and no file outlives a call."""

from __future__ import annotations

import hashlib
import io
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path

import av
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

FRAMES_PER_SECOND = 8
CHUNK = 256 * 1024
# Container -> (encoder, its fastest options, container options). One thread: the same clip is the same bytes, so its
# ETag is strong even after the cache forgot it.
_X264 = {"preset": "ultrafast", "crf": "30", "threads": "1"}
_RECIPES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "mp4": ("libx264", _X264, {"movflags": "+faststart"}),
    "mov": ("libx264", _X264, {"movflags": "+faststart"}),
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "threads": "1"}, {"fflags": "+bitexact"}),
}
CONTENT_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm"}


@dataclass(frozen=True)
class Clip:
    """The bytes of a file: `head`, then so many zeros, which are never held in memory."""

    head: bytes
    zeros: int = 0
    content_type: str = "video/mp4"
    is_video: bool = True

    @property
    def size(self) -> int:
        return len(self.head) + self.zeros

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.head).hexdigest()[:32]}-{self.size}"'

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `stop`."""
        while start < stop:
            end = min(start + CHUNK, stop)
            piece = self.head[start:end]
            yield piece + bytes(end - start - len(piece))
            start = end


def padded(clip: Clip, size: int | None) -> Clip:
    """Append a `free` box so that an MP4 has `size` bytes; a clip that is larger already stays as it is."""
    room = (size or 0) - clip.size
    if room < 16:
        return clip
    if room < 2**32:
        header = room.to_bytes(4, "big") + b"free"
    else:
        header = (1).to_bytes(4, "big") + b"free" + room.to_bytes(8, "big")
    return Clip(clip.head + header, room - len(header), clip.content_type)


@lru_cache(maxsize=64)
def render(text: str, size: tuple[int, int], seconds: int, container: str = "mp4") -> Clip:
    """Encode a clip of that size and length with the text in every picture."""
    encoder, options, container_options = _RECIPES[container]
    # A file, not a buffer: FFmpeg moves `moov` to the front by opening the output a second time, by name.
    with tempfile.TemporaryDirectory(prefix="wisdomgate-sandbox-") as folder:
        path = Path(folder, f"clip.{container}")
        with av.open(str(path), "w", format=container, options=container_options) as output:
            stream = output.add_stream(encoder, rate=FRAMES_PER_SECOND, options=options)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            for number, picture in enumerate(_pictures(text, size, seconds * FRAMES_PER_SECOND)):
                frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
                frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return Clip(path.read_bytes(), content_type=CONTENT_TYPES[container])


def _pictures(text: str, size: tuple[int, int], count: int) -> Iterator[Image.Image]:
    """Yield the frames: one background with the text, and a bar that grows, so that it moves."""
    (width, height), background = size, _background(text, size)
    bar = max(2, height // 24)
    for number in range(count):
        picture = background.copy()
        right = max(1, width * (number + 1) // count) - 1
        ImageDraw.Draw(picture).rectangle((0, height - bar, right, height - 1), fill=(250, 200, 0))
        yield picture


def _background(text: str, size: tuple[int, int]) -> Image.Image:
    width, height = size
    # The colour follows the text, so that clips are told apart at a glance.
    red, green, blue = (byte // 3 for byte in hashlib.sha256(text.encode()).digest()[:3])
    picture = Image.new("RGB", size, (red, green, blue))
    points = max(8, min(width, height) // 14)
    lines = textwrap.wrap(text, width=max(4, int(width * 1.8 / points)))[:8]
    ImageDraw.Draw(picture).multiline_text(
        (points // 2, points // 2),
        "\n".join([*lines, "", "wisdomgate-sandbox: no AI video"]),
        font=ImageFont.load_default(points),
        fill=(255, 255, 255),
    )
    return picture


def jpeg(text: str, size: tuple[int, int]) -> bytes:
    """Draw the text into a still picture."""
    return _saved(_background(text, size), "JPEG")


def thumbnail(text: str, size: tuple[int, int]) -> Clip:
    return Clip(_saved(_background(text, size), "WEBP"), content_type="image/webp", is_video=False)


def spritesheet(text: str, size: tuple[int, int]) -> Clip:
    """Draw four pictures of a clip side by side."""
    sheet = Image.new("RGB", (4 * size[0], size[1]))
    for number, picture in enumerate(_pictures(text, size, 4)):
        sheet.paste(picture, (number * size[0], 0))
    return Clip(_saved(sheet, "JPEG"), content_type="image/jpeg", is_video=False)


def _saved(picture: Image.Image, form: str) -> bytes:
    output = io.BytesIO()
    picture.save(output, form)
    return output.getvalue()
