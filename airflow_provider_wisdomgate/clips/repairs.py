"""What a person may do about a manifest: give a lost create its id, or give a record up. Pure.

The command line shows a manifest, asks, and writes what is said here over exactly the version that was shown. A claim
that may be alive is never touched, and neither is a clip that is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.advice import command
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.transitions import PUBLISH_SECONDS

GIVEN_UP = "Given up by a person (wisdomgate clips forget)"


@dataclass(frozen=True)
class Repair:
    """What shall stand in place of a manifest (None: nothing), and what that means, a sentence each."""

    new: Manifest | None
    means: tuple[str, ...]


def adopt(found: Manifest, state: str, video_id: str, claim_id: str) -> Repair:
    """Record the id of the video that a create has made.

    :param claim_id: a new one, for where another id is taken back: news about that video must not count any more.
    :raises WisdomGateError: this record takes none.
    """
    goes_on = f"The next run of the task goes on with video {video_id}: it sends no create."
    if state == "lost":
        return Repair(replace(found, phase="created", video_id=video_id, claim_seconds=None, lost_at=None), (goes_on,))
    if state == "created" and not found.sha256:
        if found.video_id == video_id:
            raise errors.WisdomGateError(f"Video {video_id} is recorded at {found.uri} already; nothing was changed.")
        other = replace(found, phase="created", claim_id=claim_id, video_id=video_id, created_at=None, request_ids=())
        gives_up = f"Video {found.video_id}, which may be paid for, is given up here."
        return Repair(replace(other, expires_at=None, claim_seconds=None), (goes_on, gives_up))
    raise _refused(found, state, "adopt")


def forget(found: Manifest, state: str, age: float, clip_size: int | None) -> Repair:
    """Let the next run of the task create anew. No clip is deleted; what had been replaced counts again.

    A lost create leaves no trace: if its answer comes after all, its id can be recorded as if nobody had been here.
    All else is recorded as failed, so that what a task remembers of its video (see memory.py) counts no more either.

    :param age: seconds since the manifest was written.
    :param clip_size: bytes of what stands at the destination, None where nothing does.
    :raises WisdomGateError: there is nothing to give up, or too much.
    """
    if state == "lost":
        unfetched = "If the create did arrive, its video is paid for and not fetched."
        return Repair(_replaced(found, ("stored", "created", "failed")), (unfetched, _next(found)))
    if state == "refused":
        return Repair(_given_up(found), ("The next run of the task sends the same request once more.",))
    if state == "created" and (not found.sha256 or age > PUBLISH_SECONDS):
        paid = f"Video {found.video_id} is paid for; it is given up here, and goes on at the gateway."
        return Repair(_given_up(found), (paid, _next(found)))
    if state == "missing" and clip_size is None:
        paid = f"Video {found.video_id} was paid for; while the gateway has it, a run would fetch it again for nothing."
        return Repair(_given_up(found), (paid, _next(found)))
    raise _refused(found, state, "forget")


def _given_up(found: Manifest) -> Manifest:
    """Return the record that was replaced, where a video stands in it; else this one, as failed."""
    if below := _replaced(found, ("stored", "created")):
        return below
    error = errors.VideoFailedError(GIVEN_UP, video_id=found.video_id)
    nothing = replace(found, sha256=None, size=None, stored_at=None, replaced=None, claim_seconds=None, lost_at=None)
    return replace(nothing, phase="failed", error=error.as_dict())


def _replaced(found: Manifest, phases: tuple[str, ...]) -> Manifest | None:
    """Return the latest of the records below that is in one of these phases: other lost creates may stand between."""
    return next((record for record in found.below if record.phase in phases), None)


def _next(found: Manifest) -> str:
    below = _given_up(found)
    if below.phase == "failed":
        return "The next run of the task creates a video, and pays for it."
    clip = "clip" if below.phase == "stored" else "video"
    return f"The record of the {clip} that was to be replaced (video {below.video_id}) stands there again."


def _refused(found: Manifest, state: str, what: str) -> errors.WisdomGateError:
    why, advice = {
        "creating": ("a task may be sending its create at this moment", "Wait until its claim is over (clips show)."),
        "created": (
            f"it goes on with video {found.video_id}"
            + (", whose clip may be appearing at this moment" if found.sha256 else ""),
            f"Run the task again, or: {command('fetch', found.uri)}",
        ),
        "stored": (
            f"its clip is there and paid for (video {found.video_id})",
            "To make another in its place, run the task with if_exists='replace'; to be rid of it, delete both files.",
        ),
        "missing": (
            "its clip was stored, and is gone or has another size",
            "If it is gone, a run of the task fetches it again. To make another in its place: if_exists='replace'.",
        ),
        "failed": ("nothing came of it, and another try creates anew by itself", "Run the task again."),
        "refused": ("the gateway refused it", f"To send it once more: {command('forget', found.uri)}"),
    }[state]
    return errors.WisdomGateError(f"`{what}` does not fit {found.uri}: {why}; nothing was changed.", next_step=advice)
