"""Kills generate tasks at random moments until they end, and counts what was paid for. Run by scripts/chaos.

Each try is a forked process that runs the operator the way Airflow does (a deferred one resumes in a new object,
from what JSON carries). The parent only kills, re-runs and counts; the sandbox and moto are other processes.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests

from tests import servers

STORED, LOST, RETRY, REFUSED = 0, 3, 4, 5
BUCKET = "chaos"
SLOW_IMPORTS = (
    "airflow.providers.common.compat.sdk",
    "airflow_provider_wisdomgate.operators",
    "airflow_provider_wisdomgate.clips.stores.s3",
)


@dataclass
class Clip:
    """One task instance on its way."""

    index: int
    prompt: str
    destination: str
    kills_left: int
    tries: int = 0
    killed: int = 0
    outcome: int | None = None
    errors: list[str] = field(default_factory=list)


def attempt(clip: Clip) -> None:
    """Run one try of the task in this process, and exit with what became of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Airflow's task log
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_wisdomgate import exceptions as errors

    try:
        try:
            task(clip).execute(context(clip))
        except TaskDeferred as deferred:
            path, kwargs = deferred.trigger.serialize()
            event = asyncio.run(first_event(path, json.loads(json.dumps(kwargs))))
            task(clip).execute_complete(context(clip), json.loads(json.dumps(event)), **(deferred.kwargs or {}))
        code = STORED
    except errors.LostCreateError:
        code = LOST
    except errors.AirflowFailException as error:
        print(f"clip {clip.index}: {type(error).__name__}: {error}", file=sys.stderr)
        code = REFUSED
    except Exception as error:
        print(f"clip {clip.index}: {type(error).__name__}: {error}", file=sys.stderr)
        code = RETRY
    os._exit(code)


def task(clip: Clip) -> Any:
    from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

    return WisdomGateGenerateVideoOperator(
        task_id="generate",
        model="any-model",
        prompt=clip.prompt,
        seconds=1,
        size="64x48",
        destination=clip.destination,
        poll_interval=0.1,
        timeout=60,
        deferrable=clip.index % 2 == 0,
    )


def context(clip: Clip) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="chaos", run_id="run", task_id="generate", map_index=clip.index, max_tries=9, start_date=None
    )
    return {"ti": ti}


async def first_event(path: str, kwargs: dict[str, Any]) -> Any:
    from airflow_provider_wisdomgate import triggers

    trigger = getattr(triggers, path.rpartition(".")[2])(**kwargs)
    async for event in trigger.run():
        return event.payload
    return None


def run_clip(clip: Clip, dice: random.Random) -> Iterator[None]:
    """Run tries until the clip ends; yields while a try is under way."""
    fork = multiprocessing.get_context("fork")
    while clip.outcome is None and clip.tries < 30:
        clip.tries += 1
        process = fork.Process(target=attempt, args=(clip,))
        process.start()
        die_at = time.monotonic() + dice.uniform(0.0, 0.7) if clip.kills_left else float("inf")
        while process.is_alive():
            if time.monotonic() >= die_at:
                process.kill()
                process.join()
                break
            yield
        if process.exitcode == -signal.SIGKILL:
            clip.killed += 1
            clip.kills_left -= 1
        elif process.exitcode != RETRY:
            clip.outcome = process.exitcode


@contextmanager
def far_side(home: Path, s3: bool) -> Iterator[str]:
    """Start the sandbox, and moto's S3 where wanted; set the connections; yield the sandbox's URL."""
    with ExitStack() as stack:
        url = stack.enter_context(servers.sandbox("--render-seconds=0.2", home=home))
        connection = {"conn_type": "wisdomgate", "host": url, "password": "sandbox-key"}
        os.environ["AIRFLOW_CONN_WISDOMGATE_DEFAULT"] = json.dumps(connection)
        if s3:
            endpoint = stack.enter_context(servers.s3(home))
            extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
            aws = {"conn_type": "aws", "login": "any", "password": "any", "extra": extra}
            os.environ["AIRFLOW_CONN_AWS_CHAOS"] = json.dumps(aws)
            requests.put(f"{endpoint}/{BUCKET}", timeout=10).raise_for_status()
        yield url


def run(runs: int, *, seed: int, s3: bool = True, slow_creates: int = 10) -> dict[str, Any]:
    """Run the whole experiment and return its table.

    :param slow_creates: every how many clips the gateway takes 3 s to answer the create, so that kills hit it.
    """
    for name in SLOW_IMPORTS:  # once, before forking: they take seconds, and every kill would fall into them
        importlib.import_module(name)
    shorten_claims()
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="wisdomgate-chaos-") as folder, ExitStack() as stack:
        home = Path(folder)
        spool = home / "tmp"
        spool.mkdir()
        tempfile.tempdir = str(spool)
        stack.callback(setattr, tempfile, "tempdir", None)
        url = stack.enter_context(far_side(home, s3))
        clips = [make_clip(index, home, dice, s3, slow_creates) for index in range(runs)]
        began = time.monotonic()
        run_all(clips, dice)
        return table(clips, url, home, spool, time.monotonic() - began)


def shorten_claims() -> None:
    """Let a claim live for 6 s instead of 6 minutes: who finds one waits until its owner surely sends no more."""
    from airflow_provider_wisdomgate.gateway import routes
    from airflow_provider_wisdomgate.ledger import driver

    routes.CONNECT_TIMEOUT, routes.CREATE_TIMEOUT, driver.MARGIN = 1.0, 4.0, 1.0


def make_clip(index: int, home: Path, dice: random.Random, s3: bool, slow_creates: int) -> Clip:
    slow = "[sandbox: create=slowx1] " if index % slow_creates == 0 else ""
    remote = s3 and index % 4 == 3
    place = f"s3://aws_chaos@{BUCKET}/clip-{index}.mp4" if remote else f"{home}/clips/clip-{index}.mp4"
    return Clip(index, f"{slow}chaos clip {index}", place, kills_left=dice.randint(1, 3))


def run_all(clips: list[Clip], dice: random.Random, at_once: int = 4) -> None:
    waiting, running = list(clips), list[Iterator[None]]()
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(run_clip(waiting.pop(0), dice))
        running = [one for one in running if next(one, "over") is None]
        time.sleep(0.005)


def table(clips: list[Clip], url: str, home: Path, spool: Path, seconds: float) -> dict[str, Any]:
    """Count what was paid for against what is there."""
    made = Counter(video["prompt"] for video in requests.get(f"{url}/_sandbox/videos", timeout=30).json())
    stored = [clip for clip in clips if clip.outcome == STORED]
    lost = [clip for clip in clips if clip.outcome == LOST]
    whole = sum(is_whole(clip) for clip in stored)
    left = {*home.rglob("*.part"), *spool.rglob("*")}
    for path in left:
        print(f"left behind: {path.name}", file=sys.stderr)
    return {
        "clips": len(clips),
        "tries": sum(clip.tries for clip in clips),
        "SIGKILLs": sum(clip.killed for clip in clips),
        "stored": len(stored),
        "stored, whole, sha256 as in the manifest": whole,
        "stopped as lost creates": len(lost),
        "of these, really made": sum(made[clip.prompt] for clip in lost),
        "other ends": len(clips) - len(stored) - len(lost),
        "creates paid for": sum(made.values()),
        "clips paid for twice": sum(count > 1 for count in made.values()),
        "stored clips not paid for exactly once": sum(made[clip.prompt] != 1 for clip in stored),
        "parts and spool files left": len(left),
        "wall seconds": round(seconds, 1),
    }


def is_whole(clip: Clip) -> bool:
    from airflow_provider_wisdomgate.clips.mp4 import BoxWalk
    from airflow_provider_wisdomgate.clips.stores import open_store
    from airflow_provider_wisdomgate.ledger.destination import Destination

    manifest, content = Destination(clip.destination).read(), open_store(clip.destination).read("")
    if manifest is None or content is None:
        return False
    walk = BoxWalk()
    walk.feed(content.data)
    walk.finish()
    return manifest.phase == "stored" and hashlib.sha256(content.data).hexdigest() == manifest.sha256


def is_good(result: dict[str, Any]) -> bool:
    """Return whether the promise was kept."""
    zero = (
        "other ends",
        "clips paid for twice",
        "stored clips not paid for exactly once",
        "parts and spool files left",
    )
    return not any(result[name] for name in zero) and (
        result["stored"] == result["stored, whole, sha256 as in the manifest"]
        and result["stored"] + result["stopped as lost creates"] == result["clips"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-s3", action="store_true", help="local files only")
    arguments = parser.parse_args()
    print(f"== {arguments.runs} generate tasks, each killed 1 to 3 times (seed {arguments.seed})", flush=True)
    result = run(arguments.runs, seed=arguments.seed, s3=not arguments.no_s3)
    for name, value in result.items():
        print(f"   {name:<42} {value}")
    print("== The promise was kept" if is_good(result) else "== THE PROMISE WAS BROKEN")
    return 0 if is_good(result) else 1


if __name__ == "__main__":
    sys.exit(main())
