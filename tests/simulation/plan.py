"""What a seed stands for: the tasks, the kind of store and gateway, which faults may strike, what people do.

A plan is data. To shrink a failing seed, parts of it are taken away: tasks, deeds, single strikes of faults.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
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
    *("create: unreachable", "create: no handshake", "create: TLS breaks after", "create: broken before"),
    *("create: 5xx before", "create: 5xx after", "create: answer lost", "create: slow answer", "create: 429"),
    *("create: nobody to send it to", "create: moderation", "create: 401", "create: 409", "create: 425"),
    *("create: no credit as 200", "create: no credit as 500", "create: encoded", "create: unknown encoding"),
    *("create: no id in it", "create: another name", "create: breaks after the JSON", "create: an error names it"),
    # a stranger's page, before or in place of the answer of a create that made a video
    *("create: HTML 404", "create: HTML 403", "create: 404 before", "create: 405 before", "create: 413 before"),
    *("create: 403 after", "create: 408 after", "create: 451 after", "create: 499 after"),
    *("create: 409 after", "create: 425 after"),
)
POLLS = (
    *("poll: 5xx", "poll: 429", "poll: plain 404", "poll: broken", "poll: says failed", "poll: says expired"),
    *("poll: HTML 404", "poll: HTML 403", "poll: HTML 502", "poll: 401 once", "poll: encoded"),
    *("poll: unknown encoding", "poll: envelope error", "poll: envelope success", "poll: another id"),
    *("poll: a row number", "poll: task not exist", "poll: wrapped 404", "poll: redirected"),
    # what lasts for a while
    *("poll: replica lags", "poll: key expired", "poll: connection moved"),
)
WRONG_PARTS = (
    *("content: another range", "content: another total", "content: another file"),
    *("content: a part that is encoded", "content: no validator"),
)
CONTENTS = (
    *("content: 5xx", "content: breaks off", "content: plain 404", "content: cut short", "content: 429"),
    *("content: HTML 404", "content: HTML 403", "content: HTML 502", "content: 401 once", "content: encoded"),
    *("content: unknown encoding", "content: wrapped 404", "content: key expired", "content: connection moved"),
    *WRONG_PARTS,
)
LISTS = ("list: 5xx", "list: 429", "list: broken", "list: HTML page", "list: encoded")
OTHERS = ("memory: error", "triggerer: taken over", "store: truncated")
ALL = KILLS + ZOMBIES + STORE_WRITES + STORE_READS + CREATES + POLLS + CONTENTS + LISTS + OTHERS

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
    ("content: breaks off", *WRONG_PARTS),
    ("poll: HTML 404", "poll: HTML 403", "poll: HTML 502", "poll: 401 once", "content: HTML 404", "content: 401 once"),
    ("create: answer lost", "create: 5xx before", "create: broken before", "kill after the effect"),
    ("create: answer lost", "create: 5xx before", "create: slow answer", *LISTS),
    ("create: 403 after", "create: 408 after", "create: 451 after", "create: 499 after", "create: answer lost"),
    ("create: 404 before", "create: 405 before", "create: 413 before", "create: no handshake", "create: 429"),
    ("create: breaks after the JSON", "create: another name", "create: an error names it", "poll: a row number"),
    ("create: no handshake", "create: TLS breaks after", "create: unreachable"),
    ("poll: envelope error", "poll: envelope success", "poll: another id", "poll: redirected"),
    ("poll: replica lags", "poll: task not exist", "poll: wrapped 404", "content: wrapped 404"),
    ("poll: key expired", "content: key expired", "poll: 401 once"),
    ("poll: connection moved", "content: connection moved", "kill before the effect"),
    ("triggerer: taken over", "kill after the effect", "poll: 5xx"),
    ("triggerer: taken over", "poll: connection moved"),
    ("store: truncated", "store: answer lost", "zombie after an answer"),
)
FATES = (
    *("completed", "failed", "moderation", "bad input", "deleted", "expires", "loses its content"),
    *("late content", "expires as announced"),
)
# What moderation does to a video that was made; drawn apart from all else.
MODERATED = ("output filtered", "content withheld")
# What a DAG's author does between two tries of one round, or asks of a task.
TRAITS = (
    *("task: prompt changes", "task: retries change", "task: storage moves", "task: image disappears"),
    *("task: siblings", "task: delete_after_download", "task: killed"),
)
# Let only these kinds of faults, fates and traits strike: --kinds.
CHOSEN: list[str] = []
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
    "kill",
    "damage the manifest",
)
# It ends a clip's life until a person comes, so it is rarer than the others.
DAMAGE = "damage the manifest"


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
    map_index: int = -1
    traits: frozenset[str] = frozenset()
    delete_after_download: bool = False
    on_gone: str = "fail"
    on_moderated_output: str = "fail"


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
    shows_half: bool = False  # whether the store may show a claim half-written
    dropped: frozenset[Any] = frozenset()


def plan_of(seed: int) -> Plan:
    """Make the plan of a seed."""
    rng = random.Random(seed)
    tasks = _with_traits(rng, _tasks(rng))
    swarm = rng.sample(ALL, rng.choice((1, 2, 3, 4, 6, 10))) if rng.random() < 0.5 else list(rng.choice(THEMES))
    fates = rng.sample(FATES[1:], rng.choice((0, 0, 0, 1, 1, 2)))
    if CHOSEN:
        swarm, fates = ([kind for kind in kinds if kind in CHOSEN] for kinds in (ALL, FATES))
    plan = Plan(
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
        shows_half=rng.random() < 0.1,
    )
    return _moderated(plan)


def _moderated(plan: Plan) -> Plan:
    """Let moderation refuse some of the videos that are made, in a few schedules."""
    rng = random.Random(f"moderation {plan.seed}")
    chosen = [fate for fate in MODERATED if (fate in CHOSEN if CHOSEN else rng.random() < 0.06)]
    tasks = [replace(task, on_moderated_output=rng.choice(("fail", "retry", "retry"))) for task in plan.tasks]
    fates = {fate: rng.choice((0.3, 0.7)) for fate in chosen}
    return replace(plan, tasks=tasks, fates=plan.fates | fates) if chosen else plan


def _with_traits(rng: random.Random, tasks: list[TaskSpec]) -> list[TaskSpec]:
    """Give tasks some traits."""
    traits = [trait for trait in TRAITS if not CHOSEN or trait in CHOSEN]
    if not traits or (not CHOSEN and rng.random() < 0.6):
        return tasks
    chosen = frozenset(rng.sample(traits, min(len(traits), rng.choice((1, 1, 2)))))
    tasks = [
        replace(
            task,
            traits=chosen,
            on_gone=rng.choice(("fail", "fail", "create")),
            delete_after_download="task: delete_after_download" in chosen,
            delete_on_kill=task.delete_on_kill or ("task: killed" in chosen and rng.random() < 0.7),
        )
        for task in tasks
    ]
    if "task: siblings" in chosen:
        shared = {name: getattr(tasks[0], name) for name in ("place", "if_exists", "start")}
        tasks = [replace(task, map_index=number, kind="generate", **shared) for number, task in enumerate(tasks)]
    return tasks


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
        delete_on_kill=rng.random() < 0.3,
        timeout=rng.choice((200.0, 3600.0, 3600.0)),
        poll_interval=rng.choice((15.0, 60.0, 120.0)),
        video_id=rng.choice(("old_1", "old_2")),
    )


def _deeds(rng: random.Random, tasks: list[TaskSpec]) -> list[Deed]:
    count = rng.choice((0, 0, 0, 1, 1, 2, 3))
    kinds = ["clear" if kind == DAMAGE and rng.random() < 0.7 else kind for kind in rng.sample(DEEDS, 2)]
    return [
        Deed(rng.choice((10.0, 300.0, 1000.0, 4000.0)) * rng.random(), rng.choice(kinds), rng.randrange(len(tasks)))
        for _ in range(count)
    ]
