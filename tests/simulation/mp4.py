"""The smallest MP4 that is whole: each video's bytes are its own."""

from __future__ import annotations

import struct


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


MVHD = box(b"mvhd", bytes(12) + struct.pack(">II", 1000, 4000) + bytes(80))
HEAD = box(b"ftyp", b"isom\0\0\2\0isom") + box(b"moov", MVHD)


def clip_of(video_id: str, encoding: int = 0) -> bytes:
    """Return a video's content; a gateway that encodes anew gives other bytes each time."""
    return HEAD + box(b"mdat", f"{video_id} {encoding} ".encode() + b"." * (60 + encoding % 7))
