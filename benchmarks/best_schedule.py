"""The best schedule for durations that are known beforehand: what is possible, to judge ours by.

A schedule is a list of ages at which to poll. It is found by dynamic programming on a grid of one second: from each
age, the next poll that costs least, where a second of delay costs ``price`` polls. All schedules with delays from
``shortest`` to ``longest`` are searched, and none on the grid is better at its price. A higher price gives less delay
and more polls; the price is halved in until the mean delay is the one wanted. Between two neighbouring schedules, a
mixture of both is taken: it is what chance between them gives.

It knows more than ours ever can, the spread of the durations; it is made from other videos than those that it is
judged on, so that it does not learn them by heart.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

HALVINGS = 16


def best_polls(known: Sequence[float], judged: Sequence[float], lag: float, shortest: int, longest: int) -> float:
    """Return the polls per video of the best schedule at a mean delay of ``lag`` seconds.

    :param known: the durations that it is made from, ``judged`` those that it is played on.
    :param shortest: the least seconds between two polls, ``longest`` the most.
    """
    low, high = 1e-4, 10.0
    few, many = (play(schedule(known, price, shortest, longest), judged) for price in (low, high))
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        tried = play(schedule(known, middle, shortest, longest), judged)
        if tried[1] > lag:
            low, few = middle, tried
        else:
            high, many = middle, tried
    if few[1] <= many[1]:
        return many[0]
    share = min(max((lag - many[1]) / (few[1] - many[1]), 0.0), 1.0)
    return share * few[0] + (1 - share) * many[0]


def schedule(durations: Sequence[float], price: float, shortest: int, longest: int) -> list[int]:
    """Return the ages at which to poll, in whole seconds, until the longest of the durations is over."""
    end = math.ceil(max(durations))
    size = end + longest + 1
    ended, seconds = [0] * size, [0.0] * size
    for duration in durations:
        ended[math.ceil(duration)] += 1
        seconds[math.ceil(duration)] += duration
    # How many are over by each age, and the sum of their durations.
    over, total = list(accumulate(ended)), list(accumulate(seconds))
    cost, following = [0.0] * size, [0] * size
    for age in range(end - 1, -1, -1):
        cost[age], following[age] = min(
            (price * ((over[poll] - over[age]) * poll - (total[poll] - total[age])) + cost[poll], poll)
            for poll in range(age + shortest, age + longest + 1)
        )
        cost[age] += len(durations) - over[age]  # each that is not over yet is polled
    ages = [0]
    while ages[-1] < end:
        ages.append(following[ages[-1]])
    return ages[1:]


def play(ages: Sequence[int], durations: Sequence[float]) -> tuple[float, float]:
    """Return polls and mean delay per video. One that outlasts the schedule is polled on at its last pause."""
    last_pause = ages[-1] - ages[-2] if len(ages) > 1 else ages[-1]
    polls, lag = 0, 0.0
    for duration in durations:
        beyond = max(math.ceil((duration - ages[-1]) / last_pause), 0)
        index = min(bisect_left(ages, duration), len(ages) - 1)
        polls += index + 1 + beyond
        lag += ages[index] + beyond * last_pause - duration
    return polls / len(durations), lag / len(durations)
