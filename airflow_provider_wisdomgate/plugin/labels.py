"""Says in words what a manifest and a task's state mean. Pure; a manifest is a file, so any value may be odd."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_wisdomgate.clips.advice import amount_of
from airflow_provider_wisdomgate.clips.manifest import Manifest

# The task may yet change the manifest.
UNFINISHED_STATES = {
    "scheduled",
    "queued",
    "running",
    "restarting",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    "awaiting_input",
}
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
REFRESH_SECONDS = 10
NO_REQUEST = "The task failed before a request was written down; its log says why."
REFERENCE = (
    "The task's XCom is an address that does not end in .mp4, .mov or .webm. Either the task's destination has no such "
    "ending: this page serves no other files. Or a custom XCom backend left a reference: this page opens none, and no "
    "clip stands where the task's destination leads below storage_path or served_paths. Clear the task then: this "
    "package's operators now write the place past the backend, and a clip that is stored is not paid for again "
    "(if_exists='skip'). A task of your own calls airflow_provider_wisdomgate.links.tell_destination."
)


def status_of(manifest: Manifest, size: int | None, state: str | None) -> tuple[str, str]:
    """Return a headline and a sentence for a manifest whose clip cannot be played (yet)."""
    video = f"Video {manifest.video_id}" if manifest.video_id else "The video"
    if manifest.phase == "failed":
        error: Mapping[str, Any] = manifest.error if isinstance(manifest.error, Mapping) else {}
        told = [str(part) for part in (error.get("message"), error.get("next_step")) if part]
        return "No clip was made", " ".join(told) or "The manifest names no reason."
    if manifest.phase == "stored":
        there = "nothing is there" if size is None else f"{size} bytes are there"
        return (
            "The clip is gone",
            f"Its manifest says {manifest.size} bytes, but {there}. The next run of the task fetches it again.",
        )
    if state not in UNFINISHED_STATES and not manifest.video_id:
        return (
            "The task has stopped waiting",
            "Its create was under way when the task ended. If its answer is not recorded, it will need you when the "
            "claim is over: this page then says what to do.",
        )
    if state not in UNFINISHED_STATES:
        return (
            "The task has stopped waiting",
            f"{video} was not finished when the task ended. The next run of the task goes on with it.",
        )
    if manifest.phase == "created":
        return "Still in the making", f"{video} is being made by the gateway; the task waits for it."
    return "Being asked for", "The request is on its way to the gateway, its answer is not recorded yet."


def is_unfinished(manifest: Manifest | None, state: str | None) -> bool:
    """Tell whether looking again may show more."""
    return state in UNFINISHED_STATES and (manifest is None or manifest.phase in ("creating", "created"))


def requested(manifest: Manifest, name: str) -> Any:
    """Return what a request said, from its own fields or the model's."""
    request = manifest.request if isinstance(manifest.request, Mapping) else {}
    fields = request.get("fields")
    return request.get(name) or (fields.get(name) if isinstance(fields, Mapping) else None)


def bytes_of(size: Any) -> str | None:
    """Write a number of bytes: ``1.23 MB (1,234,567 bytes)``."""
    if not isinstance(size, int):
        return None
    return f"{size:,} bytes" if abs(size) < 1000 else f"{amount_of(size)} ({size:,} bytes)"


def seconds_of(duration: Any) -> str | None:
    """Write a clip's length; a request has it as a string."""
    if isinstance(duration, str) and duration.isdecimal():
        return f"{duration} s"
    return f"{duration:.4g} s" if isinstance(duration, int | float) else None


def moment(epoch: Any) -> datetime | None:
    """Return the time of epoch seconds, None for what is no time."""
    if not isinstance(epoch, int | float) or not math.isfinite(epoch) or not 0 < epoch < 1e11:
        return None
    return datetime.fromtimestamp(epoch, UTC)


def distance(epoch: float, now: float) -> str:
    """Write how far away a time is: ``in 23 hours``, ``2 days ago``."""
    away = abs(epoch - now)
    length, unit = next((each for each in UNITS if away >= each[0]), UNITS[-1])
    count = int(away // length)
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {words}" if epoch > now else f"{words} ago"
