"""Plays waits through without a clock: how many polls they take and how late they learn of the end.

The same functions that the trigger drives, ``waiting.first_poll`` and ``waiting.after_poll`` with the default
``poll_interval=30``, against a fixed interval. A run is a video of some duration, seen by a gateway that tells its
progress or does not.

Durations: "usual" is log-normal, median 180 s, sigma 0.5 (5% below 79 s, 5% above 410 s), never below 20 s.
"quick" is the same with a median of 45 s. "heavy tail" has one in ten of the usual take Pareto (alpha 1.2) times as
long, up to an hour. Progress: 0 while queued, which is 0 to 40% of the duration; then it grows as share ** bend of the
rest, bend from 0.6 to 1.6, in steps of 1, 5 or 25%, never above 99.

Where nothing is told, the polls of any schedule times its mean lag are at least half the square of the integral of
sqrt(density * survival) (Cauchy-Schwarz; reached only by who knows the spread beforehand). It is printed as "best".
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import PollAgain, Wait, after_poll, first_poll

START = 1_000_000.0


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


SPREADS: dict[str, Callable[[random.Random], float]] = {"usual": usual, "quick": quick, "heavy tail": heavy_tail}


def jobs(spread: Callable[[random.Random], float], count: int) -> list[Job]:
    dice = random.Random(20261122)
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


def bound(durations: Sequence[float]) -> float:
    """Estimate the least product of polls and mean lag, from a histogram of durations."""
    ordered, cells = sorted(durations), 60
    total = 0.0
    for cell in range(cells):  # cells of the same number of videos: the integral of sqrt(f S) over each
        low, high = cell * len(ordered) // cells, (cell + 1) * len(ordered) // cells
        width = ordered[min(high, len(ordered) - 1)] - ordered[low]
        total += math.sqrt(width * (1 / cells) * (1 - (cell + 0.5) / cells))
    return total**2 / 2


def compare(count: int, poll_interval: float) -> dict[tuple[str, bool], tuple[float, float]]:
    """Print the table; returns (polls, lag) of ours as ratios to the fixed interval of 10 s."""
    ratios = {}
    print(f"\nSimulated: {count:,} videos each; ours with poll_interval={poll_interval:g}")
    print(
        f"{'durations':12}{'progress':>10}{'':>14}{'polls':>8}{'mean lag s':>12}{'p95 lag s':>11}{'polls':>9}{'lag':>7}"
    )
    for name, spread in SPREADS.items():
        made, dice = jobs(spread, count), random.Random(7)
        every_ten = [fixed(job, 10.0, dice) for job in made]
        base = row(f"{name:12}{'':>10}{'fixed 10 s':>14}", every_ten)
        for tells in (True, False):
            seen = [ours(job, poll_interval, dice, tells) for job in made]
            title = f"{name:12}{'told' if tells else 'not told':>10}{'ours':>14}"
            ratios[name, tells] = row(title, seen, base)
        least = bound([job.duration for job in made]) / (base[0] * base[1])
        print(f"{name:12}{'not told':>10}{'best':>14}{'':31}{least:8.2f}x at the lag of the fixed interval")
    return ratios


def row(title: str, seen: list[tuple[int, float]], base: tuple[float, float] | None = None) -> tuple[float, float]:
    polls, lag = (statistics.mean(one[i] for one in seen) for i in (0, 1))
    worst = sorted(one[1] for one in seen)[int(len(seen) * 0.95)]
    ratio = (polls / base[0], lag / base[1]) if base else (1.0, 1.0)
    print(f"{title}{polls:8.1f}{lag:12.2f}{worst:11.1f}{ratio[0]:8.2f}x{ratio[1]:6.2f}x")
    return ratio if base else (polls, lag)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5000)
    parser.add_argument("--poll-interval", type=float, default=30.0)
    options = parser.parse_args(arguments)
    for (name, tells), (polls, lag) in compare(options.videos, options.poll_interval).items():
        met = polls <= 0.5 and lag <= 1.0
        told = "progress told" if tells else "progress not told"
        print(
            f"{'met   ' if met else 'MISSED'}  {name}, {told}: {polls:.2f} of the polls (at most 0.5), "
            f"{lag:.2f} of the lag (at most 1)"
        )


if __name__ == "__main__":
    main()
