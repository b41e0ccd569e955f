"""One word for what became of a clip, as people are told it: by the command line and by the run's page. Pure.

The words follow from what ledger.py would have a try of the same request do.
"""

from __future__ import annotations

from airflow_provider_wisdomgate.clips.ledger import claim_left, refusal
from airflow_provider_wisdomgate.clips.manifest import Manifest

# What each word means, in the order in which people look for them.
MEANINGS: dict[str, str] = {
    "lost": "a create was begun, its time is over, and no id was recorded: the video may exist and be paid for",
    "refused": "the gateway refused this very request (moderation or bad input): it is not sent again",
    "failed": "nothing came of it; another try asks for a new video",
    "missing": "stored, but the clip is gone or has another size",
    "creating": "a create is under way",
    "created": "the video is paid for, and being made or waiting to be fetched",
    "stored": "the clip is there",
}
STATES = tuple(MEANINGS)
# No try gets on with these by itself.
NEEDS_PERSON = frozenset({"lost", "refused"})


def state_of(manifest: Manifest, age: float, clip_size: int | None) -> str:
    """Return one of ``STATES``.

    :param age: seconds since the manifest was written; counts in phase ``creating`` only.
    :param clip_size: bytes of what stands at the destination, None where nothing does; counts in phase ``stored`` only.
    """
    if manifest.phase == "stored":
        return "stored" if clip_size is not None and clip_size == manifest.size else "missing"
    if manifest.phase == "failed":
        return "refused" if refusal(manifest) else "failed"
    if manifest.video_id:
        return "created"
    return "creating" if claim_left(manifest, age) else "lost"
