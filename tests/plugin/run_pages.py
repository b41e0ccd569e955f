"""Fills the pages of runs with clips in every state, and reads what the pages show."""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mapped_runs import RUN, Left, leave
from support import put_manifest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.links import DESTINATION_KEY

EARLIER = "manual__2025-12-31T00:00:00+00:00"
EVIL = "<script>alert('1')</script>"


def address(dag: str = "ours", run: str = RUN, query: str = "") -> str:
    return f"/wisdomgate/run/{quote(dag, safe='')}/{quote(run, safe='')}/videos{query}"


def record(path: Path, phase: Any = "stored", dag: str = "ours", run: str = RUN, **facts: Any) -> Path:
    """Write a manifest, and the clip of a stored one."""
    made_by = {"dag_id": dag, "run_id": run}
    facts = {"video_id": "video_1", "fingerprint": "f", "made_by": made_by, "claimed_at": 1.0, **facts}
    if phase == "stored":
        facts = {"size": 1000, "duration": 4.0, **facts}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
    put_manifest(Manifest(phase=phase, claim_id="c", uri=str(path), **facts))
    return path


def done(index: int, state: str = "success", task: str = "many", **options: Any) -> Left:
    """Return what a worker left of a task instance whose destination was left out."""
    rendered = {"destination": None, "wisdomgate_conn_id": "wisdomgate_default"}
    return Left(task, index, state, rendered, **options)


def told(path: Path) -> dict[str, Any]:
    return {"xcoms": {DESTINATION_KEY: f"file://{path}"}}


def place(root: Path, index: int = -1, task: str = "many", dag: str = "ours", run: str = RUN) -> Path:
    return root / default_name(dag, run, task, index)


def numbers(text: str) -> dict[str, str]:
    """Read the sums of a page: name and number."""
    return {name: number for number, name in re.findall(r"<strong>([^<]*)</strong> <span>([^<]*)</span></a>", text)}


def tiles(text: str) -> dict[str, str]:
    """Read the tiles of a page: the clip's name and the words of its tile."""
    found = {}
    for item in re.findall(r'<li class="tile.*?</li>', text, re.DOTALL):
        name = re.search(r"<h3><a[^>]*>(.*?)</a>", item)
        assert name
        words = re.sub(r"<[^>]*>", " ", item.partition("</h3>")[2])
        found[name[1]] = " ".join(unescape(words).split())
    return found


FAILED = errors.GatewayFaultError("It broke\nin two lines.").as_dict()
REFUSED = errors.ModerationError(f"Not {EVIL} this.").as_dict()


def fill(clips: Path) -> None:
    """Leave one clip in each state there is."""
    sample = record(place(clips, 0))
    record(place(clips, 1), "created", created_at=time.time() - 300)
    record(place(clips, 2), "creating", video_id=None, claimed_at=time.time(), claim_seconds=600.0)
    record(place(clips, 3), "creating", video_id=None, claim_seconds=0.0, answer="<html>no id")
    record(place(clips, 4), "failed", error=FAILED)
    record(place(clips, 5), "failed", error=REFUSED, video_id=None)
    record(place(clips, 6)).unlink()
    record(place(clips, 11), "created")
    damage(record(place(clips, 12), "created"))
    states = {0: "success", 1: "deferred", 2: "running", 3: "failed", 4: "failed", 5: "failed", 6: "success"}
    states |= {11: "failed", 12: "failed"}
    began = [done(index, state, **told(sample)) if not index else done(index, state) for index, state in states.items()]
    others = [
        done(7, "failed"),
        Left("many", 8, "upstream_failed"),
        Left("many", 9, "skipped"),
        done(10),
        *(Left("many", index, "queued") for index in range(13, 60)),
    ]
    leave("ours", RUN, [*began, *others])


def damage(clip: Path) -> Path:
    """Cut a record as a full disk does."""
    record = clip.with_name(f"{clip.name}.json")
    record.write_bytes(record.read_bytes()[:40])
    return clip
