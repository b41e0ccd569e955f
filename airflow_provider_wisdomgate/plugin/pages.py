"""The player page. Pure: it is given all that it shows. Nothing is loaded from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import is_waited_for
from airflow_provider_wisdomgate.links import run_url
from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.airflow_api import STRIP, TaskRef
from airflow_provider_wisdomgate.plugin.clip_finder import FoundClip
from airflow_provider_wisdomgate.plugin.html import Html, tag
from airflow_provider_wisdomgate.plugin.layout import copyable, document, time_of
from airflow_provider_wisdomgate.plugin.run_sums import RunClip
from airflow_provider_wisdomgate.plugin.run_tiles import actions, details

# From {prefix}/wisdomgate/ti/{dag}/{run}/{task}/{map_index}/player
TO_AIRFLOW = "../" * 6
NOTHING = (
    "If you expect a clip: the task has not recorded its destination, or this page may not serve from there "
    "([wisdomgate] storage_path, served_paths), or no manifest of this DAG is there."
)
MAPPED = "This task is mapped: each of its instances has a clip of its own."


@dataclass(frozen=True)
class PlayerView:
    """The values of one page.

    :param is_tab: it is shown in a frame of Airflow's UI.
    :param may_download: that frame, if there is one, permits downloads.
    """

    ti: TaskRef
    clip: RunClip
    siblings: Sequence[Mapping[str, Any]]
    total: int
    now: float
    is_tab: bool = False
    may_download: bool = True

    @property
    def is_moving(self) -> bool:
        """Whether a later page may show more."""
        return bool(is_waited_for(self.clip.instance.state)) and not self.clip.is_playable


def page(view: PlayerView) -> str:
    """Return the whole page."""
    main = tag("main", *(_clip(view, view.clip.found) if view.clip.found else _nothing(view)))
    refresh = labels.REFRESH_SECONDS if view.is_moving else None
    return document(f"Video of {view.ti.task_id}", _header(view), main, _strip(view), refresh=refresh)


def _header(view: PlayerView) -> Html:
    ti = view.ti
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id} [{ti.map_index}]"
    place = tag("p", f"{ti.dag_id} / {ti.run_id}", class_="where")
    state = tag("span", task, class_=f"state {task}") if (task := view.clip.instance.state) else None
    run = f"{TO_AIRFLOW}{run_url(ti.dag_id, ti.run_id)}{'?tab' if view.is_tab else ''}"
    back = None if view.is_tab else tag("a", "Back to the task", href=_task_page(ti), class_="back")
    return tag("header", tag("div", place, tag("h1", name, state)), tag("a", "All videos of this run", href=run), back)


def _task_page(ti: TaskRef) -> str:
    dag, run, task = (quote(name, safe="") for name in (ti.dag_id, ti.run_id, ti.task_id))
    mapped = "" if ti.map_index < 0 else f"/mapped/{ti.map_index}"
    return f"{TO_AIRFLOW}dags/{dag}/runs/{run}/tasks/{task}{mapped}"


def _nothing(view: PlayerView) -> list[Html]:
    if view.siblings and view.ti.map_index < 0:
        return [_notice("none", "Choose a clip", tag("p", MAPPED))]
    why = [] if view.clip.is_reference else [tag("p", NOTHING)]
    return [_notice(view.clip.kind, "No clip to show", *details(view.clip, view.now), *why, _refresh(view))]


def _clip(view: PlayerView, found: FoundClip) -> list[Html]:
    clip, manifest = view.clip, found.manifest
    if clip.is_playable and manifest:
        picture = tag("video", src="clip", controls=True, preload="metadata", playsinline=True, **_frame(manifest))
    else:
        todo = actions(clip)
        if todo and clip.about.acts != "person":
            todo = [tag("details", tag("summary", "What you can do"), *todo)]
        headline = labels.sentence(clip.about.label).removesuffix(".")
        picture = _notice(clip.kind, headline, *details(clip, view.now), *todo, _refresh(view))
    prompt = labels.requested(manifest, "prompt") if manifest else None
    stage = tag("div", picture, tag("blockquote", prompt) if prompt else None, class_="stage")
    return [stage, _facts(view, found, manifest)] if manifest else [stage]


def _frame(manifest: Manifest) -> dict[str, Any]:
    width, height = manifest.width, manifest.height
    return {"width": width, "height": height} if isinstance(width, int) and isinstance(height, int) else {}


def _notice(kind: str, headline: str, *parts: Html | None) -> Html:
    return tag("div", tag("h2", headline), *parts, class_=f"notice {kind}", role="status")


def _refresh(view: PlayerView) -> Html | None:
    return tag("p", f"This page refreshes every {labels.REFRESH_SECONDS} s.") if view.is_moving else None


def _facts(view: PlayerView, found: FoundClip, manifest: Manifest) -> Html:
    rows: list[Html] = []
    picture = f"{manifest.width} x {manifest.height}" if manifest.width and manifest.height else None
    values = {
        "Model": labels.requested(manifest, "model"),
        "Picture": picture or labels.requested(manifest, "size"),
        "Length": labels.seconds_of(manifest.duration) or labels.seconds_of(labels.requested(manifest, "seconds")),
        "Size": labels.bytes_of(manifest.size),
        "Size found": None if view.clip.is_playable else labels.bytes_of(found.size),
        "Stored": time_of(manifest.stored_at, view.now),
        "Created": None if manifest.stored_at else time_of(manifest.created_at, view.now),
        "At the gateway until": time_of(manifest.expires_at, view.now),
        "Made by": _maker(view, manifest.made_by),
        "Video id": copyable(manifest.video_id),
        "SHA-256": copyable(manifest.sha256),
        "URI": copyable(manifest.uri),
    }
    for name, value in values.items():
        if value is not None:
            rows += [tag("dt", name), tag("dd", value)]
    name = os.path.basename(found.location.uri)
    offer = view.clip.is_playable and view.may_download
    link = tag("a", "Download", href="clip?download", download=name, class_="button") if offer else None
    return tag("section", tag("dl", *rows), link, class_="facts", aria_label="Facts")


def _maker(view: PlayerView, made_by: Mapping[str, Any]) -> str | None:
    """Name the run that made the clip if it was another one."""
    if made_by.get("run_id") == view.ti.run_id and made_by.get("task_id") == view.ti.task_id:
        return None
    return f"{made_by.get('task_id')} in {made_by.get('run_id')}"


def _strip(view: PlayerView) -> Html | None:
    if not view.siblings:
        return None
    first = max(view.ti.map_index, 0) // STRIP * STRIP
    tab = "?tab" if view.is_tab else ""
    tiles = [_tile(view, each, tab) for each in view.siblings]
    earlier = tag("a", "Earlier", href=f"../{first - STRIP}/player{tab}", rel="prev") if first else None
    later = (
        tag("a", "Later", href=f"../{first + STRIP}/player{tab}", rel="next") if first + STRIP < view.total else None
    )
    shown = f"{first}–{first + len(tiles) - 1} of {view.total}" if view.total > len(tiles) else f"{view.total}"  # noqa: RUF001
    headline = tag("h2", "All clips of this task ", tag("span", shown, class_="count"))
    pager = tag("nav", earlier, later, aria_label="More clips") if earlier or later else None
    return tag("section", headline, tag("ol", *tiles), pager, class_="strip", aria_label="Siblings")


def _tile(view: PlayerView, sibling: Mapping[str, Any], tab: str) -> Html:
    index, state = sibling["map_index"], sibling.get("state") or "none"
    is_here = index == view.ti.map_index
    label = str(sibling.get("rendered_map_index") or index)
    # "#t": a picture of a moment later, because the first one is often black.
    clip = (
        tag("video", src=f"../{index}/clip#t=0.1", controls=True, muted=True, preload="metadata", loading="lazy")
        if state == "success"
        else tag("span", state, class_=f"empty {state}")
    )
    link = tag("a", label, href=f"../{index}/player{tab}", aria_current="page" if is_here else None)
    return tag("li", clip, link, class_="here" if is_here else None)
