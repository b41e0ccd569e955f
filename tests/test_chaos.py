"""A short form of scripts/chaos, and several runs at once for one destination."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

ROOT = Path(__file__).parents[1]


def test_tasks_killed_at_random_moments_pay_once_and_publish_whole_clips():
    """In a process of its own, which has no threads yet: it forks."""
    command = [sys.executable, "-m", "tests.chaos", "--runs=8", "--seed=20261122", "--no-s3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    results: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def enter(index: int) -> None:
        gate.wait()
        results[index] = work(index)

    threads = [threading.Thread(target=enter, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_several_runs_for_one_destination_at_once_one_pays_and_all_get_its_clip(sandbox, hook, place, context):
    def generate(index: int) -> dict[str, Any]:
        task = WisdomGateGenerateVideoOperator(
            task_id="generate",
            model="any",
            prompt="the same clip for everybody",
            seconds=1,
            size="64x48",
            destination=place.uri("shared.mp4"),
            poll_interval=0.2,
        )
        return task.execute(context(run_id=f"run-{index}"))

    clips = at_once(4, generate)

    assert sandbox.counts()["creates"] == 1
    assert len({clip["video_id"] for clip in clips}) == 1
    assert len({clip["sha256"] for clip in clips}) == 1
