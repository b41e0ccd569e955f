"""``clips adopt``, ``forget`` and ``fetch``: what a person does about one clip.

A change is written over exactly the version of the manifest that was shown, or not at all.
"""

from __future__ import annotations

import sys
import time
import uuid
from argparse import Namespace
from dataclasses import replace

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.clips import advice_for, show_manifest
from airflow_provider_wisdomgate.cli.output import bytes_of, moment_of, plain, progress, say
from airflow_provider_wisdomgate.cli.places import destination_of, hook_for, manifest_at
from airflow_provider_wisdomgate.cli.run import DIFFERS
from airflow_provider_wisdomgate.clips.destination import Destination, Found, OvertakenError
from airflow_provider_wisdomgate.clips.folder import age_at, state_at
from airflow_provider_wisdomgate.clips.ledger import create_window
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.paid_video import PaidVideo
from airflow_provider_wisdomgate.clips.repairs import Repair, adopt, forget
from airflow_provider_wisdomgate.gateway.routes import check_text
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import Wait
from airflow_provider_wisdomgate.polling.events import result_of

ID_REMEDY = "Give the id that the gateway shows."
POLL_INTERVAL = 10.0


def adopt_clip(arguments: Namespace) -> int:
    """Give a lost create the id of the video that it made."""
    destination = destination_of(arguments)
    found, manifest = manifest_at(destination)
    video_id = check_text("--video-id", arguments.video_id, ID_REMEDY)
    size, state = state_at(destination, manifest)
    repair = adopt(manifest, state, video_id, uuid.uuid4().hex)
    doubts: tuple[str, ...] = ()
    if not arguments.no_check:
        video = hook_for(arguments, manifest).get_video(video_id)
        say(_described(video))
        doubts = _doubts(manifest, video)
    show_manifest(manifest, state, size)
    return _change(destination, found, Repair(repair.new, (*doubts, *repair.means)), arguments.yes)


def _described(video: Video) -> str:
    known = {"model": video.model, "made": moment_of(video.created_at), "seconds": video.seconds, "size": video.size}
    facts = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return f"The gateway says: video {video.id} is {video.status}" + (f" ({facts})." if facts else ".")


def _doubts(manifest: Manifest, video: Video) -> tuple[str, ...]:
    """Say why this may be another request's video."""
    doubts = []
    model = manifest.request.get("model")
    if video.model and model and video.model != model:
        doubts.append(f"DOUBTFUL: it was made by {video.model}, the task asked {model}.")
    first, last = create_window(manifest)
    if video.created_at and not first <= video.created_at <= last:
        doubts.append(f"DOUBTFUL: the task's create was begun at {moment_of(manifest.claimed_at)}.")
    if video.is_failed:
        doubts.append(f"DOUBTFUL: it is {video.status}.")
    return tuple(doubts)


def forget_clip(arguments: Namespace) -> int:
    """Give a record up, so that the next run creates anew."""
    destination = destination_of(arguments)
    found, manifest = manifest_at(destination)
    size, state = state_at(destination, manifest)
    repair = forget(manifest, state, age_at(destination, manifest), destination.clip_size())
    show_manifest(manifest, state, size)
    return _change(destination, found, repair, arguments.yes)


def _change(destination: Destination, found: Found, repair: Repair, is_agreed: bool) -> int:
    """Say what will change, ask, and write it over what was shown."""
    for line in repair.means:
        say(line)
    if not is_agreed and not is_answered_yes(f"Change {destination.uri}.json? [y/N] "):
        say("Nothing was changed.")
        return DIFFERS
    try:
        destination.swap(found, repair.new and replace(repair.new, uri=destination.uri))
    except OvertakenError:
        raise errors.WisdomGateError(
            f"Somebody else changed {destination.uri}.json meanwhile; nothing was changed by this command.",
            next_step="Look at it again.",
        ) from None
    say(f"Changed: {destination.uri}.json")
    return 0


def is_answered_yes(question: str) -> bool:
    """Ask a person on the terminal.

    :raises WisdomGateError: nobody is there.
    """
    print(plain(question), end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print(file=sys.stderr)
        raise errors.WisdomGateError("There is nobody to ask; nothing was changed.", next_step="Give --yes.")
    return answer.strip().lower() in ("y", "yes")


def fetch_clip(arguments: Namespace) -> int:
    """Wait for a paid video and store its clip."""
    destination = destination_of(arguments)
    _, manifest = manifest_at(destination)
    clip_size, state = state_at(destination, manifest)
    if state == "stored":
        say(f"The clip is there already: {destination.uri}")
        return 0
    if state == "missing" and clip_size is not None:
        raise errors.WisdomGateError(
            f"At {destination.uri} stands a file of {clip_size} bytes, not the clip of {manifest.size} bytes; "
            "nothing was changed.",
            next_step="Move it away, then fetch.",
        )
    if not manifest.video_id or state in ("failed", "refused"):
        advice = " ".join(advice_for(state, manifest, destination)) or "Run the task again."
        raise errors.WisdomGateError(f"No video to fetch for {destination.uri}: it is {state}.", next_step=advice)
    stored = _fetch(arguments, destination, manifest, manifest.video_id)
    say(f"Video {stored.video_id} is stored ({bytes_of(stored.size)}): {stored.uri}")
    return 0


def _fetch(arguments: Namespace, destination: Destination, manifest: Manifest, video_id: str) -> Manifest:
    hook = hook_for(arguments, manifest)

    def wait() -> Video:
        if (video := hook.get_video(video_id)).is_done:
            return video
        now = time.time()
        terms = Wait(now + arguments.timeout, POLL_INTERVAL, since=now, last=video)
        try:
            return result_of(hook.wait_for_video(video_id, terms), may_recreate=True)
        except errors.WaitTimeoutError as error:
            error.next_step = f"Run the command again to go on waiting, or raise --timeout ({arguments.timeout:g} s)."
            raise

    with progress(f"Fetching video {video_id}"):
        return PaidVideo(destination, manifest).finish(wait, hook.open_content)
