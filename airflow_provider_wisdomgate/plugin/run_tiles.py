"""One clip in the grid of a run: its picture, its facts, and what to do where it needs somebody. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_wisdomgate.clips.advice import amount_of, command
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.html import Html, tag
from airflow_provider_wisdomgate.plugin.layout import copyable, epoch_of, time_of
from airflow_provider_wisdomgate.plugin.run_sums import RunClip

# Where the word of a state does not say it by itself.
WORDS = {
    "lost": "needs you: lost create",
    "refused": "needs you: refused",
    "missing": "clip is gone",
    "creating": "being asked for",
    "created": "being made",
    "waiting": "not begun",
    "unknown": "not found",
}
LONGEST_REASON = 200
UNREADABLE = "The API server cannot read the storage; its log says why."
NOT_FOUND = "The task has not said where its clip is, or this page may not look there, or no manifest of this DAG is."


def state_words(state: str) -> str:
    """Return a state as people read it."""
    return WORDS.get(state, state)


def tile(clip: RunClip, player: str, is_tab: bool, now: float) -> Html:
    """Return a clip as an item of a list.

    :param player: the address of its player, without a query.
    """
    words = tag("span", state_words(clip.state), class_=f"state {clip.state}")
    link = tag("a", clip.instance.name, href=f"{player}{'?tab' if is_tab else ''}")
    facts = [tag("span", fact) for fact in _facts(clip)]
    line = tag("p", words, *facts, class_="facts-line")
    text = tag("div", tag("h3", link), line, *_details(clip, now), class_="text")
    return tag("li", _picture(clip, player), text, class_=f"tile {clip.state}")


def _picture(clip: RunClip, player: str) -> Html:
    if clip.state != "stored":
        return tag("div", class_=f"empty {clip.state}", aria_hidden="true")
    # "#t": the picture of a moment in, where the first one is often black.
    source = f"{player.removesuffix('player')}clip#t=0.1"
    options = {"preload": "metadata", "loading": "lazy", "muted": True, "playsinline": True}
    return tag("video", src=source, aria_label=f"First picture of {clip.instance.name}", **options)


def _facts(clip: RunClip) -> list[str]:
    if clip.found is None or clip.state not in ("stored", "missing"):
        return []
    manifest = clip.found.manifest
    size = amount_of(manifest.size) if isinstance(manifest.size, int) else None
    return [fact for fact in (labels.seconds_of(manifest.duration), size) if fact]


def _details(clip: RunClip, now: float) -> list[Html]:
    if clip.found is None:
        return [tag("p", each) for each in _without_manifest(clip, now)]
    manifest = clip.found.manifest
    if clip.state in ("creating", "created"):
        return _moving(clip, manifest, now)
    if clip.state == "lost":
        return lost_create(manifest, now)
    if clip.state == "refused":
        again = tag("p", "Change the request. To send the same once more:")
        return [tag("p", _reason(manifest)), again, _command("forget", manifest)]
    if clip.state in ("failed", "missing"):
        return [tag("p", _reason(manifest) if clip.state == "failed" else _gone(clip, manifest))]
    return []


def _without_manifest(clip: RunClip, now: float) -> list[Any]:
    instance = clip.instance
    if clip.is_unreadable:
        return [UNREADABLE]
    if clip.is_reference:
        return [labels.REFERENCE]
    if clip.state in ("failed", "unknown"):
        return [labels.NO_REQUEST if clip.state == "failed" else NOT_FOUND]
    if clip.state == "blocked":
        return ["A task before it failed."]
    if clip.state == "skipped":
        return []
    since = time_of(epoch_of(instance.since), now)
    return [tag("span", f"The task is {instance.state or 'not scheduled yet'}", *((" since ", since) if since else ()))]


def _moving(clip: RunClip, manifest: Manifest, now: float) -> list[Html]:
    state = clip.instance.state
    since = time_of(manifest.created_at or manifest.claimed_at, now)
    video = f"Video {manifest.video_id}. " if manifest.video_id else "No video id yet. "
    status = f"The task is {state or 'not scheduled'}."
    if state not in labels.UNFINISHED_STATES and not manifest.video_id:
        status = f"The task is {state}; if its create gets no answer, it will need you when the claim is over."
    elif state not in labels.UNFINISHED_STATES:
        status = f"The task is {state} and has stopped waiting; its next run goes on with this video."
    return [tag("p", "Since ", since or "an unknown time"), tag("p", video, status)]


def lost_create(manifest: Manifest, now: float) -> list[Html]:
    """Return what a person does about a lost create."""
    since = time_of(manifest.claimed_at, now)
    unknown = ". The answer is not recorded: look at the gateway."
    begun = tag("p", "Begun ", since or "at an unknown time", unknown)
    then = tag("p", "Then clear the task.")
    found, none = tag("p", "If a video was made:"), tag("p", "If none was made, or you accept to pay again:")
    return [begun, found, _command("adopt", manifest, "--video-id <id>"), none, _command("forget", manifest), then]


def _command(what: str, manifest: Manifest, *options: str) -> Html:
    return tag("p", copyable(command(what, manifest.uri, *options)), class_="command")


def _gone(clip: RunClip, manifest: Manifest) -> str:
    return labels.status_of(manifest, clip.found.size if clip.found else None, clip.instance.state)[1]


def _reason(manifest: Manifest) -> str:
    """Return the error in one line."""
    error: Mapping[str, Any] = manifest.error if isinstance(manifest.error, Mapping) else {}
    line = " ".join(str(error.get("message") or "The manifest names no reason.").split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"
