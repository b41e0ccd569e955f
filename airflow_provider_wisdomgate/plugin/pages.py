"""The player page. Pure: it is given all that it shows. Nothing is loaded from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_provider_wisdomgate.clips.states import state_of
from airflow_provider_wisdomgate.links import run_url
from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.airflow_api import STRIP, TaskRef
from airflow_provider_wisdomgate.plugin.clip_finder import FoundClip
from airflow_provider_wisdomgate.plugin.html import Html, tag
from airflow_provider_wisdomgate.plugin.layout import copyable, document, time_of
from airflow_provider_wisdomgate.plugin.run_tiles import lost_create

# From {prefix}/wisdomgate/ti/{dag}/{run}/{task}/{map_index}/player
TO_AIRFLOW = "../" * 6
NOTHING = (
    "The task has not said where its clip will be, or the place is not one that this page may serve from "
    "([wisdomgate] storage_path, served_paths), or no manifest of this DAG stands there."
)
MAPPED = "This task is mapped: each of its instances has a clip of its own."


@dataclass(frozen=True)
class PlayerView:
    """What one page shows.

    :param is_reference: nothing is found, and the task's XCom is a reference of a custom XCom backend.
    :param is_tab: it is shown in a frame of Airflow's UI.
    :param may_download: that frame, if it is one, lets a download through.
    """

    ti: TaskRef
    found: FoundClip | None
    state: str | None
    siblings: Sequence[Mapping[str, Any]]
    total: int
    now: float
    is_reference: bool = False
    is_tab: bool = False
    may_download: bool = True


def page(view: PlayerView) -> str:
    """Return the whole page."""
    found = view.found
    is_moving = labels.is_unfinished(found.manifest if found else None, view.state)
    main = tag("main", *(_clip(view, found) if found else _nothing(view)))
    refresh = labels.REFRESH_SECONDS if is_moving else None
    return document(f"Video of {view.ti.task_id}", _header(view), main, _strip(view), refresh=refresh)


def _header(view: PlayerView) -> Html:
    ti = view.ti
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id} [{ti.map_index}]"
    place = tag("p", f"{ti.dag_id} / {ti.run_id}", class_="where")
    state = tag("span", view.state, class_=f"state {view.state}") if view.state else None
    run = f"{TO_AIRFLOW}{run_url(ti.dag_id, ti.run_id)}{'?tab' if view.is_tab else ''}"
    back = None if view.is_tab else tag("a", "Back to the task", href=_task_page(ti), class_="back")
    return tag("header", tag("div", place, tag("h1", name, state)), tag("a", "All videos of this run", href=run), back)


def _task_page(ti: TaskRef) -> str:
    dag, run, task = (quote(name, safe="") for name in (ti.dag_id, ti.run_id, ti.task_id))
    mapped = "" if ti.map_index < 0 else f"/mapped/{ti.map_index}"
    return f"{TO_AIRFLOW}dags/{dag}/runs/{run}/tasks/{task}{mapped}"


def _nothing(view: PlayerView) -> list[Html]:
    if view.siblings and view.ti.map_index < 0:
        return [_notice("Choose a clip", MAPPED)]
    why = labels.REFERENCE if view.is_reference else NOTHING
    return [_notice("No clip to show", f"{labels.NO_REQUEST} Or: {why}" if view.state == "failed" else why)]


def _clip(view: PlayerView, found: FoundClip) -> list[Html]:
    manifest = found.manifest
    if found.is_playable:
        picture = tag("video", src="clip", controls=True, preload="metadata", playsinline=True, **_frame(found))
    elif state_of(manifest, found.age, found.size) == "lost":
        what = (tag("h2", "Needs you: a lost create"), *lost_create(manifest, view.now))
        picture = tag("div", *what, class_="notice lost", role="status")
    else:
        headline, sentence = labels.status_of(manifest, found.size, view.state)
        picture = _notice(headline, sentence, manifest.phase, view.state in labels.UNFINISHED_STATES)
    prompt = labels.requested(manifest, "prompt")
    return [tag("div", picture, tag("blockquote", prompt) if prompt else None, class_="stage"), _facts(view, found)]


def _frame(found: FoundClip) -> dict[str, Any]:
    width, height = found.manifest.width, found.manifest.height
    return {"width": width, "height": height} if isinstance(width, int) and isinstance(height, int) else {}


def _notice(headline: str, sentence: str, kind: str = "none", is_moving: bool = False) -> Html:
    again = (
        f" This page refreshes every {labels.REFRESH_SECONDS} s."
        if is_moving and kind in ("creating", "created")
        else ""
    )
    return tag("div", tag("h2", headline), tag("p", sentence + again), class_=f"notice {kind}", role="status")


def _facts(view: PlayerView, found: FoundClip) -> Html:
    manifest, rows = found.manifest, []
    picture = f"{manifest.width} x {manifest.height}" if manifest.width and manifest.height else None
    values = {
        "Model": labels.requested(manifest, "model"),
        "Picture": picture or labels.requested(manifest, "size"),
        "Length": labels.seconds_of(manifest.duration) or labels.seconds_of(labels.requested(manifest, "seconds")),
        "Size": labels.bytes_of(manifest.size),
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
    offer = found.is_playable and view.may_download
    link = tag("a", "Download", href="clip?download", download=name, class_="button") if offer else None
    return tag("section", tag("dl", *rows), link, class_="facts", aria_label="Facts")


def _maker(view: PlayerView, made_by: Mapping[str, Any]) -> str | None:
    """Name the run that made the clip, where it was another one."""
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
    # "#t": the picture of a moment in, where the first one is often black.
    clip = (
        tag("video", src=f"../{index}/clip#t=0.1", controls=True, muted=True, preload="metadata", loading="lazy")
        if state == "success"
        else tag("span", state, class_=f"empty {state}")
    )
    link = tag("a", label, href=f"../{index}/player{tab}", aria_current="page" if is_here else None)
    return tag("li", clip, link, class_="here" if is_here else None)
