"""Leaves a run of 60 mapped clips in all states: manifests, real small clips, and what Airflow knows of the tasks.

Run by test_run_page.py in the environment of the Airflow under test: no worker is needed for 60 clips.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from mapped_runs import Left, leave
from support import put_manifest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.links import DESTINATION_KEY
from airflow_provider_wisdomgate.sandbox.render import render

DAG, TASK, CLIPS = "gallery", "postcard", 60
CITIES = ("Lima", "Oslo", "Kyoto", "Accra", "Quito", "Porto", "Hanoi", "Turku", "Perth", "Tunis")
# The state of a clip, and how many there are; mixed over the run, so that a page shows several.
STATES = {
    "stored": 38,
    "unfetched": 1,
    "damaged": 1,
    "created": 4,
    "creating": 1,
    "lost": 2,
    "refused": 2,
    "failed": 3,
    "missing": 1,
    "blocked": 1,
    "skipped": 1,
    "waiting": 3,
    "unknown": 1,
    "broken": 1,
}
ENDED = {"stored": "success", "created": "running", "creating": "running", "missing": "success", "unknown": "success"}
ENDED |= {"blocked": "upstream_failed", "skipped": "skipped", "waiting": "queued"}
REFUSED = errors.ModerationError("The prompt was refused by the gateway's moderation.")
FAILED = errors.GatewayFaultError("The gateway gave up: out of capacity.")


def states() -> list[str]:
    """Return the state of each index."""
    listed = [state for state, count in STATES.items() for _ in range(count)]
    return [listed[index * 7 % CLIPS] for index in range(CLIPS)]


def main(root: Path, run: str) -> None:
    """Write all of it."""
    leave(DAG, run, [left(root, run, index, state) for index, state in enumerate(states())])
    for index, state in enumerate(states()):
        path = root / default_name(DAG, run, TASK, index)
        if state in ("blocked", "skipped", "waiting", "unknown", "broken"):
            continue
        put_manifest(manifest(path, run, index, state))
        if state == "damaged":
            Path(f"{path}.json").write_bytes(b"")


def left(root: Path, run: str, index: int, state: str) -> Left:
    has_begun = state not in ("blocked", "skipped", "waiting")
    rendered = {"destination": None, "wisdomgate_conn_id": "wisdomgate_default"} if has_begun else {}
    path = root / default_name(DAG, run, TASK, index)
    xcoms = {DESTINATION_KEY: path.as_uri()} if has_begun and state != "broken" else {}
    label = f"{CITIES[index % 10]} {index // 10 + 1}"
    return Left(TASK, index, ENDED.get(state, "failed"), rendered, xcoms, label)


def manifest(path: Path, run: str, index: int, state: str) -> Manifest:
    made_by = {"dag_id": DAG, "run_id": run, "task_id": TASK, "map_index": index}
    request = {"model": "sora-2", "prompt": f"A postcard from {CITIES[index % 10]}, animated"}
    facts: dict[str, Any] = {
        "claimed_at": time.time() - 900,
        "fingerprint": "f",
        "made_by": made_by,
        "request": request,
    }
    if state in ("stored", "missing"):
        clip = render(request["prompt"] + " " * (index // 10), (320, 180), 2, "mp4")
        data = b"".join(clip.chunks(0, clip.size))
        if state == "stored":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        facts |= {"size": len(data), "duration": 2.0, "sha256": "0" * 64, "video_id": f"video_{index:03}"}
    if state in ("created", "unfetched", "damaged"):
        facts |= {"video_id": f"video_{index:03}", "created_at": time.time() - 240}
    if state == "lost":
        facts |= {"claim_seconds": 0.0}
    if state == "creating":
        facts |= {"claim_seconds": 3600.0}
    if state in ("failed", "refused"):
        facts |= {"error": (FAILED if state == "failed" else REFUSED).as_dict(), "video_id": f"video_{index:03}"}
    phases = {
        "lost": "creating",
        "refused": "failed",
        "missing": "stored",
        "unfetched": "created",
        "damaged": "created",
    }
    phase: Any = phases.get(state, state)
    return Manifest(phase=phase, claim_id="claim", uri=str(path), **facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
