"""What a seed stands for: the tasks, the kind of store and gateway, which faults may strike, what people do.

A plan is data. To shrink a failing seed, parts of it are taken away: tasks, deeds, single strikes of faults.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

# Faults by where they strike. A schedule uses a few kinds of them (its swarm), so that each gets schedules of its own.
KILLS = ("kill before the effect", "kill after the effect")
ZOMBIES = ("zombie after an answer", "zombie in a sleep")
STORE_WRITES = (
    "store: error",
    "store: answer lost",
    "store: meets its own effect",
    "store: effect comes late",
    "store: disk full",
    "store: no permission",
)
STORE_READS = ("store: read error",)
CREATES = (
    "create: unreachable",
    "create: 5xx before",
    "create: 5xx after",
    "create: answer lost",
    "create: broken before",
    "create: slow answer",
    "create: 429",
    "create: nobody to send it to",
    "create: moderation",
    "create: 401",
    "create: 409",
    "create: 425",
    "create: no credit as 200",
    "create: no credit as 500",
    "create: HTML 404",
    "create: HTML 403",
    "create: encoded",
    "create: unknown encoding",
    "create: no id in it",
)
POLLS = (
    *("poll: 5xx", "poll: 429", "poll: plain 404", "poll: broken", "poll: says failed", "poll: says expired"),
    *("poll: HTML 404", "poll: HTML 403", "poll: HTML 502", "poll: 401 once", "poll: encoded"),
    "poll: unknown encoding",
)
CONTENTS = (
    *("content: 5xx", "content: breaks off", "content: plain 404", "content: cut short", "content: 429"),
    *("content: HTML 404", "content: HTML 403", "content: HTML 502", "content: 401 once", "content: encoded"),
    *("content: unknown encoding", "content: another range", "content: another total", "content: another file"),
    *("content: a part that is encoded", "content: no validator"),
)
LISTS = ("list: 5xx", "list: 429", "list: broken", "list: HTML page", "list: encoded")
MEMORY = ("memory: error",)
ALL = KILLS + ZOMBIES + STORE_WRITES + STORE_READS + CREATES + POLLS + CONTENTS + LISTS + MEMORY

# Kinds that belong together: chance alone would seldom choose all of one line.
THEMES = (
    ("create: 429", "create: slow answer", "zombie after an answer"),
    ("create: 429", "create: nobody to send it to", "kill after the effect", "zombie in a sleep"),
    ("create: answer lost", "create: 5xx after", "store: effect comes late", "store: answer lost"),
    ("store: effect comes late", "store: meets its own effect", "zombie after an answer", "kill after the effect"),
    ("poll: says failed", "poll: says expired", "zombie after an answer", "kill before the effect"),
    ("zombie after an answer", "zombie in a sleep"),
    ("store: disk full", "store: no permission", "kill before the effect", "memory: error"),
    ("content: breaks off", "content: 5xx", "store: answer lost", "zombie after an answer"),
    ("content: breaks off", *CONTENTS[-5:]),
    ("poll: HTML 404", "poll: HTML 403", "poll: HTML 502", "poll: 401 once", "content: HTML 404", "content: 401 once"),
    ("create: answer lost", "create: 5xx before", "create: broken before", "kill after the effect"),
    ("create: answer lost", "create: 5xx before", "create: slow answer", *LISTS),
)
FATES = ("completed", "failed", "moderation", "bad input", "deleted", "expires", "loses its content")
TIMES = ("none", "right", "zero", "relative", "past", "milliseconds", "decades away", "text", "negative")
CREATED = ("none", "text", "zero", "relative", "milliseconds", "decades away", "negative", "ISO", "now")
# How a gateway's list is, besides listing videos as OpenAI's does.
LISTING = (
    *("no route", "empty", "pages", "late", "partial", "no prompts", "bare list"),
    *("twins", "remixes", "other prompts"),
)
LOST_CREATE = ("fail", "create", "find", "find")
DEEDS = (
    "delete the manifest",
    "delete the clip",
    "clear",
    "recreate the run",
    "correct the prompt",
    "replace",
    "rename the folder",
    "put a file of their own there",
)


@dataclass
class TaskSpec:
    """One task instance as its DAG's author wrote it."""

    name: str
    place: str
    prompt: str
    start: float
    kind: str = "generate"
    if_exists: str = "skip"
    on_lost_create: str = "fail"
    deferrable: bool = True
    retries: int = 2
    retry_delay: float = 60.0
    has_memory: bool = False
    delete_on_kill: bool = False
    timeout: float = 3600.0
    poll_interval: float = 60.0
    video_id: str = ""


@dataclass
class Deed:
    """What somebody does, and when."""

    at: float
    kind: str
    task: int


@dataclass
class Plan:
    """All that a seed decides beforehand."""

    seed: int
    tasks: list[TaskSpec]
    deeds: list[Deed]
    rates: dict[str, float]
    faults_end: float
    strikes_per_process: int
    pace: float
    await_delay: float
    skew: float
    is_local: bool = False
    has_clock: bool = True
    version_kind: str = "hash"
    keeps_conditions: bool = True
    reencodes: bool = False
    fates: dict[str, float] = field(default_factory=dict)
    times: str = "none"
    created: str = "right"
    listing: frozenset[str] = frozenset()
    rest: float = 0.0  # between the faults and the last round
    dropped: frozenset[Any] = frozenset()


def plan_of(seed: int) -> Plan:
    """Make the plan of a seed."""
    rng = random.Random(seed)
    tasks = _tasks(rng)
    swarm = rng.sample(ALL, rng.choice((1, 2, 3, 4, 6, 10))) if rng.random() < 0.5 else list(rng.choice(THEMES))
    fates = rng.sample(FATES[1:], rng.choice((0, 0, 0, 1, 1, 2)))
    return Plan(
        seed=seed,
        tasks=tasks,
        deeds=_deeds(rng, tasks),
        rates=_rates(rng, swarm),
        faults_end=rng.choice((300.0, 1500.0, 6000.0)),
        strikes_per_process=rng.choice((1, 2, 4, 12)),
        pace=rng.choice((0.02, 0.1, 0.1, 0.5, 2.0)),
        await_delay=rng.choice((5.0, 20.0, 60.0)),
        skew=rng.choice((0.0, 0.0, 30.0, 290.0)),
        is_local=rng.random() < 0.4,
        has_clock=rng.random() < 0.7,
        version_kind=rng.choice(("hash", "generation")),
        keeps_conditions=rng.random() > 0.03,
        reencodes=rng.random() < 0.2,
        fates={fate: rng.choice((0.3, 0.7)) for fate in fates},
        times=rng.choice(TIMES) if rng.random() < 0.3 else "none",
        created=rng.choice(CREATED) if rng.random() < 0.3 else "right",
        listing=frozenset(rng.sample(LISTING, rng.choice((0, 1, 1, 2, 3)))),
        rest=rng.choice((0.0, 0.0, 90_000.0)),
    )


def _rates(rng: random.Random, swarm: list[str]) -> dict[str, float]:
    level = rng.choice((0.5, 1.0, 2.0))
    usual = {
        **dict.fromkeys(KILLS, 0.03),
        **dict.fromkeys(ZOMBIES, 0.05),
        **dict.fromkeys(STORE_WRITES, 0.06),
        **dict.fromkeys(CREATES, 0.3),
    }
    return {kind: usual.get(kind, 0.1) * level for kind in swarm}


def _tasks(rng: random.Random) -> list[TaskSpec]:
    places = ["clips/cat.mp4"] if rng.random() < 0.8 else ["clips/cat.mp4", "clips/dog.mp4"]
    prompts = ["a cat"] if rng.random() < 0.6 else ["a cat", "a dog"]
    spread = rng.choice((0.0, 1.0, 20.0, 400.0, 3000.0))
    count = rng.choice((1, 2, 2, 2, 3, 3, 4))
    policy = [rng.choice(("skip", "skip", "replace")), rng.choice(LOST_CREATE)]
    return [_task(rng, number, places, prompts, policy, spread) for number in range(count)]


def _task(
    rng: random.Random, number: int, places: list[str], prompts: list[str], policy: list[str], spread: float
) -> TaskSpec:
    is_download = rng.random() < 0.08
    same_policy = rng.random() < 0.7
    return TaskSpec(
        name=f"task {'ABCD'[number]}",
        place=rng.choice(places),
        prompt=rng.choice(prompts),
        start=rng.random() * spread,
        kind="download" if is_download else "generate",
        if_exists=policy[0] if same_policy else rng.choice(("skip", "replace", "fail")),
        on_lost_create=policy[1] if same_policy else rng.choice(LOST_CREATE),
        deferrable=rng.random() < 0.6,
        retries=rng.choice((0, 1, 2, 3)),
        retry_delay=rng.choice((1.0, 30.0, 300.0)),
        has_memory=rng.random() < 0.5,
        delete_on_kill=rng.random() < 0.1,
        timeout=rng.choice((200.0, 3600.0, 3600.0)),
        poll_interval=rng.choice((15.0, 60.0, 120.0)),
        video_id=rng.choice(("old_1", "old_2")),
    )


def _deeds(rng: random.Random, tasks: list[TaskSpec]) -> list[Deed]:
    count = rng.choice((0, 0, 0, 1, 1, 2, 3))
    kinds = rng.sample(DEEDS, 2)
    return [
        Deed(rng.choice((10.0, 300.0, 1000.0, 4000.0)) * rng.random(), rng.choice(kinds), rng.randrange(len(tasks)))
        for _ in range(count)
    ]
