"""Plays waits through without a clock: how many polls they take and how late they learn of the end.

The same functions that the trigger drives, ``decisions.first_poll`` and ``decisions.after_poll``. A run is a video of
some duration, seen by a gateway that tells its progress or does not.

Durations: "usual" is log-normal, median 180 s, sigma 0.5 (5% below 79 s, 5% above 410 s), never below 20 s.
"quick" is the same with a median of 45 s. "heavy tail" has one in ten of the usual take Pareto (alpha 1.2) times as
long, up to an hour. "slow" (usual with a median of 600 s) and "even" (20 to 400 s) are durations that the constants
were not fitted on: they are shown and not judged. Progress: 0 while queued, which is 0 to 40% of the duration; then it
grows as share ** bend of the rest, bend from 0.6 to 1.6, in steps of 1, 5 or 25%, never above 99.

Judged by what is possible. Progress told: fewer polls *and* less delay than a fixed interval of 10 s. Not told: at most
5% more polls than the best schedule for those durations at the same mean delay (best_schedule.py), which keeps
the promise that ours makes: no pause longer than ``poll_interval``, none shorter than a tenth of it. What a schedule
without that promise would need is shown beside it: it does not poll at all until the first videos are ready, and only
who knows the durations beforehand can do that. The constants were fitted on the first seed; each seed is judged.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from best_schedule import best_polls

from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import PollAgain, Wait, after_poll, first_poll

START = 1_000_000.0
FITTED, *OTHERS = SEEDS = (20261122, 1, 2)
MORE_THAN_BEST = 1.05


@dataclass(frozen=True)
class Job:
    """A video that is made: ``queued`` is a share of ``duration``."""

    duration: float
    queued: float
    bend: float
    step: int

    def at(self, age: float, tells: bool) -> Video:
        if age >= self.duration:
            return Video("v", "completed", progress=100.0, created_at=START)
        begun = self.queued * self.duration
        share = max(0.0, age - begun) / (self.duration - begun)
        progress = min(99, int(100 * share**self.bend) // self.step * self.step)
        return Video("v", "processing", progress=float(progress) if tells else None, created_at=START)


def usual(dice: random.Random, median: float = 180.0) -> float:
    return max(20.0, dice.lognormvariate(math.log(median), 0.5))


def quick(dice: random.Random) -> float:
    return usual(dice, 45.0)


def heavy_tail(dice: random.Random) -> float:
    return min(3600.0, usual(dice) * (dice.paretovariate(1.2) if dice.random() < 0.1 else 1.0))


def slow(dice: random.Random) -> float:
    return usual(dice, 600.0)


def even(dice: random.Random) -> float:
    return dice.uniform(20.0, 400.0)


Spread = Callable[[random.Random], float]
JUDGED: dict[str, Spread] = {"usual": usual, "quick": quick, "heavy tail": heavy_tail}
SHOWN: dict[str, Spread] = {"slow": slow, "even": even}


def jobs(spread: Spread, count: int, seed: int) -> list[Job]:
    dice = random.Random(seed)
    return [
        Job(spread(dice), dice.uniform(0, 0.4), dice.uniform(0.6, 1.6), dice.choice((1, 5, 25))) for _ in range(count)
    ]


def fixed(job: Job, interval: float, dice: random.Random) -> tuple[int, float]:
    """Poll at a fixed interval, the first time at a random part of it; returns polls and lag."""
    polls = math.ceil((job.duration - (first := interval * dice.random())) / interval)
    return max(polls, 0) + 1, first + max(polls, 0) * interval - job.duration


def ours(job: Job, poll_interval: float, dice: random.Random, tells: bool) -> tuple[int, float]:
    wait, now, polls = Wait(START + 86_400.0, poll_interval, since=START), START, 0
    step: Any = first_poll(wait, now, dice.random())
    while isinstance(step, PollAgain):
        now, polls = now + step.delay, polls + 1
        step = after_poll(step.wait, job.at(now - START, tells), now, dice.random())
    return polls, now - START - job.duration


def means(seen: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return polls and delay per video."""
    return statistics.mean(polls for polls, _ in seen), statistics.mean(lag for _, lag in seen)


def told(name: str, spread: Spread, count: int, poll_interval: float, seed: int) -> tuple[float, float]:
    """Compare with the fixed interval, print a line, and return the shares of its polls and its delay."""
    made, dice = jobs(spread, count, seed), random.Random(7)
    every_ten = means([fixed(job, 10.0, dice) for job in made])
    polls, lag = means([ours(job, poll_interval, dice, tells=True) for job in made])
    shares = polls / every_ten[0], lag / every_ten[1]
    print(
        f"{name:12}{seed:>10}{polls:9.2f}{lag:9.2f}"
        f"{every_ten[0]:14.2f}{every_ten[1]:9.2f}{shares[0]:9.2f}{shares[1]:9.2f}"
    )
    return shares


def not_told(name: str, spread: Spread, count: int, poll_interval: float, seed: int) -> float:
    """Compare with the best schedule, print a line, and return our polls as a multiple of its."""
    made, dice = jobs(spread, count, seed), random.Random(7)
    polls, lag = means([ours(job, poll_interval, dice, tells=False) for job in made])
    # Other videos of the same spread, more of them: it shall know the spread, not these very videos.
    known = [job.duration for job in jobs(spread, 4 * count, seed + 1000)]
    judged, longest = [job.duration for job in made], round(poll_interval)
    best = best_polls(known, judged, lag, max(1, round(poll_interval / 10)), longest)
    free = best_polls(known, judged, lag, 1, 4 * longest) if seed == FITTED else math.nan
    print(
        f"{name:12}{seed:>10}{polls:9.2f}{lag:9.2f}{best:14.2f}{polls / best:9.3f}"
        + (f"{free:16.2f}{polls / free:9.2f}" if seed == FITTED else "")
    )
    return polls / best


def verdict(text: str, value: float, met: bool) -> None:
    print(f"{'met   ' if met else 'MISSED'}  {text}, worst row: {value:.3f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5000)
    parser.add_argument("--poll-interval", type=float, default=30.0)
    options = parser.parse_args(arguments)
    how_many = options.videos, options.poll_interval
    print(f"\nSimulated: {options.videos:,} videos a row, poll_interval={options.poll_interval:g}; delays in seconds")
    print(
        f"\n{'told':12}{'seed':>10}{'polls':>9}{'delay':>9}{'fixed: polls':>14}{'delay':>9}{'x polls':>9}{'x delay':>9}"
    )
    shares = [told(name, spread, *how_many, seed) for name, spread in JUDGED.items() for seed in SEEDS]
    for what, column in (("polls", 0), ("delay", 1)):
        worst = max(row[column] for row in shares)
        verdict(f"progress told: {what} below 1 of the fixed interval's", worst, worst < 1.0)
    for name, spread in SHOWN.items():
        told(name, spread, *how_many, OTHERS[0])
    print(
        f"\n{'not told':12}{'seed':>10}{'polls':>9}{'delay':>9}{'best: polls':>14}{'x best':>9}"
        f"{'free of bounds':>16}{'x free':>9}"
    )
    multiples = [not_told(name, spread, *how_many, seed) for name, spread in JUDGED.items() for seed in SEEDS]
    worst = max(multiples)
    text = f"progress not told: polls at most {MORE_THAN_BEST:g} of the best schedule's"
    verdict(text, worst, worst <= MORE_THAN_BEST)
    for name, spread in SHOWN.items():
        not_told(name, spread, *how_many, OTHERS[0])


if __name__ == "__main__":
    main()
