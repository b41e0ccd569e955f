"""Compares the box walk with PyAV on generated clips, whole, cut and damaged. Run by ./scripts/bench containers.

The tests run the first part. This runs every length and size in every way of writing, with every codec.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from pathlib import Path

from airflow_provider_wisdomgate.clips.mp4 import Clip

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "clips"))
from made_clips import (
    CODECS,
    LENGTHS,
    WRITTEN,
    Recipe,
    damaged,
    differs,
    judged,
    make,
    packets,
    played,
    recipes,
)


def crossed() -> dict[str, Recipe]:
    """Combine each way of writing with each codec and each length."""
    ways = itertools.product(WRITTEN.items(), CODECS.items(), LENGTHS.items())
    return {
        f"{way}, {codec}, {length}": Recipe(**{**of_length, **of_codec, **of_way})
        for (way, of_way), (codec, of_codec), (length, of_length) in ways
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--crossed", type=int, default=500, help="so many of the combinations")
    parser.add_argument("--cuts", type=int, default=100, help="places at which each clip is cut")
    parser.add_argument("--damaged", type=int, default=10, help="damaged copies of each clip")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    chance, start = random.Random(given.seed), time.perf_counter()
    every = crossed()
    chosen = {name: every[name] for name in chance.sample(sorted(every), min(given.crossed, len(every)))}
    found: Counter[str] = Counter()
    for name, recipe in (recipes() | chosen).items():
        try:
            data = make(recipe)
        except Exception as error:  # a combination that FFmpeg does not write
            found[f"not made: {type(error).__name__}"] += 1
            continue
        clip, reference = judged(data, is_all=True), played(data)
        difference = differs(clip, reference)
        found[difference or "agree"] += 1
        if difference:
            print(f"{name}: {difference}\n    {clip}\n    {reference}")
        if isinstance(clip, Clip):
            cuts = chance.choices(range(len(data)), k=given.cuts)
            passed = [cut for cut in cuts if isinstance(judged(data[:cut]), Clip)]
            lost = [cut for cut in passed if packets(data[:cut]) != packets(data)]
            found["cuts refused"] += given.cuts - len(passed)
            found["cuts accepted, nothing that plays is missing"] += len(passed) - len(lost)
            found["cuts accepted, something is missing"] += len(lost)
            if lost:
                print(f"{name}: cut at {lost} of {len(data)}")
        for _ in range(given.damaged):
            judged(damaged(data, chance), chance.choice([17, 1000, 2**20]))  # an exception ends this
            found["damaged copies that are judged"] += 1
    for words, count in sorted(found.items()):
        print(f"{count:8}  {words}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
