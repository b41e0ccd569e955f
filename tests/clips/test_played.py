"""What the walk shows of real clips is what PyAV plays. A cut clip passes only if all that plays is there."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from functools import cache

import pytest
from made_clips import damaged, differs, judged, make, packets, played, recipes

from airflow_provider_wisdomgate.clips.mp4 import Clip

RECIPES = recipes()
STATED = "only PyAV's stated length"
# What differs, and why it may. FFmpeg's decoder agrees with the walk if only the stated length differs: of fragments
# that counts the priming of the sound, and the pictures' delay twice; of a late start it leaves out the empty edit; of
# b-frames at varying times it is what the samples last in the order of decoding. Pixels in Matroska: PyAV writes their
# shape into the codec's own data only.
DIFFERENT = {
    "mp4, late moov, b-frames and sound": STATED,
    "mp4, dash, b-frames and sound": STATED,
    "mp4, dash, one index, b-frames and sound": STATED,
    "mp4, cmaf, b-frames and sound": STATED,
    "mp4, begins late, plain": STATED,
    "mov, begins late": STATED,
    **{f"mp4, variable with b-frames, {way}": STATED for way in ("plain", "no edit list", "moof base", "dash")},
    "mkv, wide pixels": "the size",
    "mkv, narrow pixels": "the size",
}
# Of each kind of box and fragment one.
CUT = [
    *("mp4, plain, b-frames and sound", "mp4, faststart", "mp4, dash, one index, b-frames and sound"),
    *("mp4, moov with samples", "mov, h264", "mkv, h264", "webm, libvpx, opus", "mp4, then ID3"),
]


@cache
def made(name: str) -> bytes:
    try:
        return make(RECIPES[name])
    except ValueError as error:  # an encoder that this PyAV was built without
        pytest.skip(str(error))


@pytest.mark.parametrize("name", RECIPES)
def test_a_clip_is_shown_as_it_is_played(name: str) -> None:
    data = made(name)
    clip = judged(data, is_all=True)
    assert differs(clip, played(data)) == DIFFERENT.get(name, "")
    assert judged(data, 7, is_all=True) == clip


@pytest.mark.parametrize("name", [name for name in RECIPES if ", then" in name])
def test_a_tail_is_counted(name: str) -> None:
    clip, tail = judged(made(name), is_all=True), RECIPES[name].tail
    assert isinstance(clip, Clip)
    assert clip.surplus == (0 if name.endswith("a free box") else len(tail))


@pytest.mark.parametrize("name", CUT)
def test_a_cut_clip_passes_only_if_nothing_that_plays_is_missing(name: str) -> None:
    data = made(name)
    whole = packets(data)
    for length in range(0, len(data), len(data) // 150):
        clip = judged(data[:length])
        assert isinstance(clip, str) or packets(data[:length]) == whole, length


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_clip_is_a_clip_or_no_clip_in_any_chunks(seed: int) -> None:
    chance = random.Random(seed)
    data, is_all = damaged(made(chance.choice(list(RECIPES))), chance), chance.random() < 0.5
    clip = judged(data, is_all=is_all)
    again = judged(data, chance.choice([1, 3, 17, 64, 1000]), is_all=is_all)
    assert again == clip or (isinstance(clip, str) and isinstance(again, str))
    if isinstance(clip, Clip):
        json.dumps(asdict(clip), allow_nan=False)
        assert all(number is None or number > 0 for number in (clip.duration, clip.width, clip.height))
