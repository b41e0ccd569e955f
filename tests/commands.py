"""What the tests of the command line share: what came of a command, and clips in every state."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support import LocalPlace, put_manifest, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.record import Manifest

ME = {"dag_id": "daily", "run_id": "r1", "task_id": "clip", "map_index": 3, "round": 0}
CLIP = whole()


# A whole Airflow would not log these; here nothing has set it up.
AIRFLOWS_LOG = re.compile(r"^\[?\d{4}-\d\d-\d\d.*\n", re.M)


@dataclass
class Ran:
    """What came of a command."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


Cli = Callable[..., Ran]


def manifest(uri: str, phase: Any, **values: Any) -> Manifest:
    """Make a manifest as a task would leave it there."""
    made = Manifest(phase, "claim", uri, time.time(), fingerprint="f", request={"model": "any"}, made_by=ME)
    if phase == "creating":
        made = replace(made, claim_seconds=370.0)
    if phase != "creating":
        made = replace(made, video_id="v1", created_at=made.claimed_at)
    if phase == "stored":
        made = replace(made, stored_at=made.claimed_at, size=len(CLIP), sha256=sha256(CLIP), content_type="video/mp4")
    return replace(made, **values)


OLD = {"claim_id": "old", "video_id": "v0", "fingerprint": "other"}


def every_state(place: Any, only: str | None = None) -> dict[str, Manifest]:
    """Put a clip in each state (or in one), and twice over an older clip; returns what stands at each name."""

    def put(name: str, phase: Any, clip: bytes | None = None, **values: Any) -> Manifest:
        made = manifest(place.uri(f"{name}.mp4"), phase, **values)
        if only not in (None, name):
            return made  # each client of S3 costs a second on a busy machine
        if clip is not None:
            place.write(f"{name}.mp4", clip)
        return put_manifest(made)

    lost = {"claim_seconds": 0.0}
    over = {"replaced": manifest(place.uri("x.mp4"), "stored", **OLD).as_dict()}
    announced = {"sha256": sha256(CLIP), "size": len(CLIP), "stored_at": time.time()}
    return {
        "creating": put("creating", "creating"),
        "lost": put("lost", "creating", **lost),
        "lost-over-stored": put("lost-over-stored", "creating", CLIP, **lost, **over),
        "created": put("created", "created"),
        "created-over-stored": put("created-over-stored", "created", CLIP, **over),
        "announced": put("announced", "created", CLIP, **announced),
        "stored": put("stored", "stored", CLIP),
        "gone": put("gone", "stored"),
        "other-size": put("other-size", "stored", b"another"),
        "failed": put("failed", "failed", error=errors.VideoFailedError("no luck").as_dict()),
        "refused": put("refused", "failed", error=errors.ModerationError("not this").as_dict()),
    }


STATE_OF = {
    "creating": "creating",
    "lost": "lost",
    "lost-over-stored": "lost",
    "created": "created",
    "created-over-stored": "created",
    "announced": "created",
    "stored": "stored",
    "gone": "missing",
    "other-size": "missing",
    "failed": "failed",
    "refused": "refused",
}


def as_files(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def age(local: LocalPlace, name: str, seconds: float) -> None:
    """Make a manifest older than it is [sim]: the store tells its age by the file's time."""
    then = time.time() - seconds
    os.utime(local.folder / f"{name}.json", (then, then))
