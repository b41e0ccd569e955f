"""The smallest MP4 that is whole: each video's bytes are its own."""

from __future__ import annotations

from boxes import clip


def clip_of(video_id: str, encoding: int = 0) -> bytes:
    """Return a video's content; a gateway that encodes anew gives other bytes each time."""
    return clip(4, 64, 48, f"{video_id} {encoding} ".encode() + b"." * (60 + encoding % 7))
