"""How a manifest changes while a task goes on with it. Pure: no storage, no clock, no Airflow.

Each function says what shall stand there, given what stands there now: the same record where nothing changes, None
where none shall stand. The driver writes that only over the very version it was said of, and asks again if it was
another by then. So what a task learnt a while ago never overwrites what another task has done since:
``stored`` becomes nothing else by news about a video, and no record of another claim is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.gateway.video import Video

# What the ledger says of a clip that is about to appear. A task that announced it may be publishing for so long, and
# only after that does the record of a replaced clip come back.
PUBLISH_SECONDS = 86400.0


def is_about_same(found: Manifest, mine: Manifest) -> bool:
    """Whether two records are of one video (or of one claim, before it has a video)."""
    if found.claim_id == mine.claim_id:
        return True
    same_request = found.fingerprint == mine.fingerprint
    return mine.video_id is not None and found.video_id == mine.video_id and same_request


def renewed(found: Manifest | None, mine: Manifest, now: float) -> Manifest:
    """Let a claim live for another attempt of the create.

    :raises WisdomGateError: it is this task's no longer, so nothing may be sent.
    """
    if found is None or found.claim_id != mine.claim_id or found.phase != "creating":
        raise errors.WisdomGateError(
            f"The claim at {mine.uri}.json was removed or taken before the create was sent; nothing was sent",
            next_step="Run the task again.",
        )
    return replace(found, claimed_at=now)


def returned(found: Manifest | None, mine: Manifest) -> Manifest | None:
    """Take back a claim that nothing came of, and put back what it had replaced.

    Only as it was claimed: another try may have given it a video meanwhile.
    """
    is_as_claimed = found is not None and (found.phase, found.video_id) == (mine.phase, mine.video_id)
    if found is None or found.claim_id != mine.claim_id or not is_as_claimed or found.sha256:
        return found
    return found.previous


def ended(found: Manifest | None, mine: Manifest, now: float) -> Manifest | None:
    """Say of a lost create that nobody sends it any more: who finds it need not wait."""
    if found is None or found.claim_id != mine.claim_id or found.phase != "creating":
        return found
    return replace(found, claim_seconds=0.0, lost_at=now)


def created(found: Manifest | None, mine: Manifest, video: Video, now: float) -> Manifest:
    """Record the id of the video that a claim's create has brought.

    :raises DestinationTakenError: another claim stands there; the id is on the error.
    """
    is_free = found is None or (found.phase == "failed" and found.claim_id != mine.claim_id)
    if found is not None and not is_free and found.claim_id != mine.claim_id:
        raise _given_away(mine, video.id)
    if found is not None and not is_free and found.phase != "creating":
        return found
    return replace(
        mine if is_free or found is None else found,
        phase="created",
        video_id=video.id,
        created_at=now,
        request_ids=(video.request_id,) if video.request_id else (),
        expires_at=video.expires_at,
        claim_seconds=None,
        lost_at=None,
    )


def adopted(found: Manifest | None, mine: Manifest, remembered: Mapping[str, Any]) -> Manifest | None:
    """Give a claim the id that its create brought and that could not be written here.

    :param remembered: ``video_id``, ``claim_id`` and ``fingerprint``, as a task kept them elsewhere.
    """
    video_id, claim_id = remembered.get("video_id"), remembered.get("claim_id")
    if not isinstance(video_id, str) or remembered.get("fingerprint") != mine.fingerprint:
        return found
    if found is None and isinstance(claim_id, str):
        return replace(mine, phase="created", claim_id=claim_id, video_id=video_id, claim_seconds=None, lost_at=None)
    if found is None or found.claim_id != claim_id or found.phase != "creating":
        return found
    return replace(found, phase="created", video_id=video_id, claim_seconds=None, lost_at=None)


def failed(found: Manifest | None, mine: Manifest, error: errors.WisdomGateError) -> Manifest | None:
    """Record that a video came to nothing. A record that it had replaced comes back, where a video stands in it.

    What is stored stays stored; so does a clip that may be appearing at this moment (``sha256`` is set).
    """
    if found is None or not is_about_same(found, mine) or found.phase != "created" or found.sha256:
        return found
    for record in found.below:  # a create that was lost may stand between
        if record.phase in ("stored", "created"):
            return record
    return replace(found, phase="failed", error=error.as_dict(), replaced=None)


def unannounced(found: Manifest | None, mine: Manifest) -> Manifest | None:
    """Forget a clip that was announced and never appeared."""
    if found is None or not is_about_same(found, mine) or found.phase != "created":
        return found
    return replace(found, sha256=None, size=None, stored_at=None)


def announced(found: Manifest | None, mine: Manifest, facts: Mapping[str, Any], now: float) -> Manifest:
    """Say which clip is about to appear. From here on no news about the video counts: all of it is here.

    :raises DestinationTakenError: the destination was given to another request meanwhile.
    """
    record = own(found, mine)
    if record.phase == "stored" and record.sha256 == facts["sha256"]:
        return record  # somebody removed the clip, and here it comes back
    return replace(
        record,
        phase="created",
        video_id=mine.video_id,
        error=None,
        claim_seconds=None,
        lost_at=None,
        stored_at=now,
        **facts,
    )


def appeared(found: Manifest | None, mine: Manifest, sha256: str, now: float) -> Manifest | None:
    """Record that the announced clip is there; another announcement than this one stays as it is.

    Where somebody has deleted it, nobody knows what stands there by now: None, and the clip is announced anew.
    """
    if found is None or not is_about_same(found, mine) or found.sha256 != sha256:
        return found
    return replace(found, phase="stored", stored_at=now, error=None, replaced=None)


def own(found: Manifest | None, mine: Manifest) -> Manifest:
    """Return the record that a task goes on with.

    :raises DestinationTakenError: the destination was given to another request meanwhile.
    """
    if found is None:
        return mine  # somebody deleted it; the video is paid for all the same
    if not is_about_same(found, mine):
        raise _given_away(mine, str(mine.video_id))
    return found


def _given_away(mine: Manifest, video_id: str) -> errors.DestinationTakenError:
    return errors.DestinationTakenError(
        f"{mine.uri} was given to another request while video {video_id} was made",
        video_id=video_id,
        next_step="The video is paid for: WisdomGateDownloadVideoOperator stores it elsewhere.",
    )
