"""A clip on a page: its state, what is known of it, and what a person can do. Pure: it renders ledger/rules.py."""

from __future__ import annotations

from airflow_provider_wisdomgate.ledger.rules import amount_of, is_waited_for
from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.html import Html, tag
from airflow_provider_wisdomgate.plugin.layout import copyable, epoch_of, time_of
from airflow_provider_wisdomgate.plugin.run_sums import RunClip

# A triggerer sends a heartbeat every few seconds. Seconds after which its silence is a warning.
LONGEST_SILENCE = 180.0


def tile(clip: RunClip, player: str, is_tab: bool, now: float) -> Html:
    """Return a clip as an item of a list.

    :param player: the address of its player, without a query.
    """
    words = tag("span", clip.about.label, class_=f"state {clip.kind}")
    link = tag("a", clip.instance.name, href=f"{player}{'?tab' if is_tab else ''}")
    facts = [tag("span", fact) for fact in _facts(clip)]
    line = tag("p", words, *facts, class_="facts-line")
    more = [] if clip.is_playable else details(clip, now, labels.LONGEST_REASON)
    todo = actions(clip) if clip.about.acts == "person" else []
    text = tag("div", tag("h3", link), line, *more, *todo, class_="text")
    return tag("li", _picture(clip, player), text, class_=f"tile {clip.kind}")


def _picture(clip: RunClip, player: str) -> Html:
    if not clip.is_playable:
        return tag("div", class_=f"empty {clip.kind}", aria_hidden="true")
    # "#t": a picture of a moment later, because the first one is often black.
    source = f"{player.removesuffix('player')}clip#t=0.1"
    options = {"preload": "metadata", "loading": "lazy", "muted": True, "playsinline": True}
    return tag("video", src=source, aria_label=f"First picture of {clip.instance.name}", **options)


def _facts(clip: RunClip) -> list[str]:
    if clip.manifest is None:
        return []
    size = amount_of(clip.manifest.size) if isinstance(clip.manifest.size, int) else None
    return [fact for fact in (labels.seconds_of(clip.manifest.duration), size) if fact]


def details(clip: RunClip, now: float, longest: int | None = None) -> list[Html]:
    """Return what is known of a clip that cannot be played: what its state means, the reason, and its task.

    :param longest: cut the reason after so many characters.
    """
    if clip.is_unreadable or clip.is_reference:
        return [tag("p", labels.UNREADABLE if clip.is_unreadable else labels.REFERENCE)]
    means = tag("p", labels.sentence(clip.about.means))
    return [part for part in (means, _reason(clip, longest), _task(clip, now), _triggerer(clip, now)) if part]


def _reason(clip: RunClip, longest: int | None) -> Html | None:
    if clip.found is None:
        return None
    problem, manifest = clip.found.problem, clip.found.manifest
    reason = problem.message if problem else labels.reason_of(manifest, longest) if manifest else None
    return tag("p", reason, class_="reason") if reason else None


def _task(clip: RunClip, now: float) -> Html | None:
    """Return the video, the state of the task, and since when."""
    manifest, state = clip.manifest, clip.instance.state
    begun = manifest.created_at or manifest.claimed_at if manifest else epoch_of(clip.instance.since)
    since = time_of(begun, now)
    if manifest is None and (clip.found or is_waited_for(state) is False):
        return None
    video = f"Video {manifest.video_id}. " if manifest and manifest.video_id else ""
    task = "" if state == "" else f"The task is {state or 'not scheduled'}."
    return tag("p", video, task, *((" Requested " if manifest else " Since ", since) if since else ()))


def _triggerer(clip: RunClip, now: float) -> Html | None:
    """Return when the triggerer of a deferred task was seen: a trigger writes nothing between two polls."""
    if clip.instance.state != "deferred":
        return None
    seen, deferred = epoch_of(clip.instance.seen), epoch_of(clip.instance.deferred)
    last = seen or deferred
    is_silent = last is None or now - last > LONGEST_SILENCE
    words = f"Last seen by its triggerer {labels.distance(seen, now)}." if seen else "No triggerer has it yet."
    warning = " Nothing seems to poll it: is a triggerer running?" if is_silent else ""
    return tag("p", words, warning, class_="warning" if is_silent else None)


def actions(clip: RunClip) -> list[Html]:
    """Return what a person can do, a command in a box of its own."""
    parts = []
    for action in clip.actions:
        pays = tag("strong", "Pays: ", class_="pays") if action.pays else None
        parts.append(tag("p", pays, action.text))
        if action.command:
            parts.append(tag("p", copyable(action.command), class_="command"))
    return parts
