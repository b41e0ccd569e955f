"""The playable part of a clip: its tracks, how long they last and how large they are shown. Pure; knows no container.

The length is that of the longest picture or sound track: as long as its samples last, as its edit list cuts them. The
size is the one on the screen, with the shape of the pixels and the rotation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_provider_wisdomgate.exceptions import ContentError

MAX_TRACKS = 1000
# A header that gives more is broken, and its clip may be whole all the same. No codec has longer sides.
LONGEST_SECONDS = 10 * 86400.0
LONGEST_SIDE = 16_384

Tables = dict[bytes, list[bytes]]


@dataclass(frozen=True)
class Clip:
    """The playable part: ``duration`` in seconds, ``width`` and ``height`` in pixels; None if unknown or absurd.

    ``surplus`` counts the bytes after the last box that is whole.
    """

    container: str
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    has_sound: bool | None = None
    tracks: int | None = None
    surplus: int = 0


@dataclass
class Track:
    """A track, its times in ticks of ``scale``; ``edits`` are (ticks of the movie, media time, rate)."""

    number: int = 0
    kind: str | None = None  # "video" or "sound"
    is_enabled: bool = True
    picture: tuple[int, int] = (0, 0)
    scale: int = 0
    edits: Sequence[tuple[int, ...]] = ()
    samples: int = 0
    start: int | None = None  # the first sample is shown
    end: int = 0  # the last sample has been shown
    decoded: int = 0  # the next sample is decoded
    lasted: int = 0  # all samples together
    is_fragmented: bool = False
    defaults: tuple[int, int] = (0, 0)  # of a sample in a fragment: ticks, bytes

    def add(self, samples: int, at: int, ticks: Iterable[tuple[int, int]], shifts: Iterable[tuple[int, int]]) -> None:
        """Add samples that are decoded from a time on. Both tables hold (so many samples, ticks of each)."""
        left, shift, later = 0.0, 0, iter(shifts)
        self.samples, self.decoded = self.samples + samples, at
        for many, each in ticks:
            while many > 0:
                while not left > 0:
                    left, shift = next(later, (math.inf, 0))
                self.start = self.decoded + shift if self.start is None else self.start
                step = int(min(many, left))
                many, left, self.decoded = many - step, left - step, self.decoded + step * each
                self.end = max(self.end, self.decoded + shift)
        self.lasted += self.decoded - at

    def span(self, movie_scale: int) -> tuple[float, float]:
        """Return when it begins and ends on the screen, in seconds."""
        scale, start = self.scale or math.inf, self.start or 0
        end = start + max(self.end - start, self.lasted)
        if not self.edits:
            return start / scale, end / scale
        length = 0.0
        for given, time, rate in self.edits:
            rest = max(end - max(start, time), 0) / scale
            if time >= 0 and (not given or self.is_fragmented):  # as far as the fragments go
                length += rest
            else:  # neither an empty edit nor one that holds a picture is bound by the media
                length += min(given / (movie_scale or math.inf), rest if time >= 0 and rate else math.inf)
        begin = max(start - min((time for _, time, _ in self.edits if time >= 0), default=start), 0) / scale
        return begin, begin + length


@dataclass
class Facts:
    """Facts read from a clip. ``needed``: so far into the file its samples reach; ``said``: the length in its head."""

    container: str = ""
    tracks: list[Track] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    needed: int = 0
    movie_scale: int = 0
    said: float = 0.0
    is_fragmented: bool = False
    data_at: int = 0  # the samples of a fragment's next run begin there

    def judge(self, size: int, surplus: int) -> Clip:
        """Return what plays.

        :raises ContentError: there is no picture.
        """
        played = [track for track in self.tracks if track.samples and track.kind]
        pictures = [track for track in played if track.kind == "video"]
        if not pictures:
            raise ContentError(f"The content ({size} bytes) has no video track with pictures in it: nothing to see.")
        spans = [span for span in (track.span(self.movie_scale) for track in played) if sane(span[1] - span[0])]
        length = max((end for _, end in spans), default=0.0) - min((start for start, _ in spans), default=0.0)
        shown = [track.picture for track in pictures if track.is_enabled] or [track.picture for track in pictures]
        width, height = max(shown, key=math.prod)
        return Clip(
            self.container or "mov",
            sane(length) or sane(self.said),
            width or None,
            height or None,
            any(track.kind == "sound" for track in played),
            len(self.tracks),
            surplus,
        )


def sane(seconds: float) -> float | None:
    """Return the seconds, None if they are absurd."""
    return (round(seconds, 3) if 0 < seconds <= LONGEST_SECONDS else 0) or None


def picture(width: float, height: float) -> tuple[int, int]:
    """Return whole pixels; (0, 0) if a side is absurd."""
    is_sane = min(width, height) >= 1 and max(width, height) <= LONGEST_SIDE
    return (round(width), round(height)) if is_sane else (0, 0)


class Format(NamedTuple):
    """A kind of container, as data.

    :param header: returns the next box's name, the bytes of its header and of its body (infinite: to the end); None if
        more bytes are needed for that.
    :param tree: each container that is looked into, ``b""`` for the file, and the boxes in it that are read.
    :param readers: get the tables of a box that ends, and the places where the box at the top begins and this one ends.
    :param vital: a clip in which one of these is not whole is cut off.
    :param required: a clip without one of these is none.
    :param endless: their end may be missing: what is in them is read as if it came after them.
    """

    title: str
    header: Callable[[bytes | bytearray], tuple[bytes, int, float] | None]
    tree: Mapping[bytes, Sequence[bytes]]
    readers: Mapping[bytes, Callable[[Facts, Tables, int, int], None]]
    vital: frozenset[bytes]
    required: tuple[bytes, ...]
    endless: tuple[bytes, ...] = ()


def only(tables: Tables, name: bytes) -> bytes:
    """Return the first table of that name, empty if there is none."""
    return tables[name][0] if name in tables else b""
