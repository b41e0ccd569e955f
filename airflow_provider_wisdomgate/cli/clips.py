"""``clips list`` and ``clips show``: what is kept. Changes nothing."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_wisdomgate.cli.output import (
    age_of,
    bytes_of,
    dump,
    moment_of,
    progress,
    put,
    say,
    show_rows,
    show_table,
)
from airflow_provider_wisdomgate.cli.places import destination_of, folder_of, manifest_at
from airflow_provider_wisdomgate.cli.run import ERROR
from airflow_provider_wisdomgate.clips.advice import command
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.folder import Kept, age_at, find_kept, state_at
from airflow_provider_wisdomgate.clips.ledger import claim_left
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.states import MEANINGS

MADE_BY = ("dag_id", "run_id", "task_id", "map_index")
COLUMNS = ("state", "video_id", "size", "age", *MADE_BY, "uri")
STYLES = {"lost": "bold red", "refused": "bold red", "failed": "red", "missing": "yellow", "stored": "green"}
TIMES = ("claimed_at", "lost_at", "created_at", "stored_at", "expires_at")


def list_clips(arguments: Namespace) -> int:
    """List the clips of a folder. ``age`` is in seconds for programs."""
    folder, unread = folder_of(arguments), list[Kept]()
    rows = _rows(folder, arguments.state, unread)
    if arguments.output == "table":
        _show_clips(folder, list(rows))
    else:
        show_rows(rows, COLUMNS, arguments.output)
    for kept in unread:
        say(f"wisdomgate: not read: {kept.problem}")
    return ERROR if unread else 0


def _rows(folder: str, states: list[str] | None, unread: list[Kept]) -> Iterator[dict[str, Any]]:
    with progress("manifests read") as bar:
        for kept in find_kept(folder):
            bar.advance(bar.task_ids[0])
            if kept.manifest is None:
                unread.append(kept)
            elif not states or kept.state in states:
                yield _row(kept, kept.manifest)


def _row(kept: Kept, manifest: Manifest) -> dict[str, Any]:
    made_by = {name: manifest.made_by.get(name) for name in MADE_BY}
    size = manifest.size if kept.clip_size is None else kept.clip_size
    known = {"state": kept.state, "video_id": manifest.video_id, "size": size, "age": _age(manifest)}
    return {**known, **made_by, "uri": kept.destination.uri}


def _age(manifest: Manifest) -> int | None:
    """Return the seconds since anything last happened, by the clocks of whoever did it."""
    since = max((at for at in (manifest.claimed_at, manifest.created_at, manifest.stored_at) if at), default=0.0)
    return max(int(time.time() - since), 0) if 0 < since < 1e11 else None


def _show_clips(folder: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        say(f"No such clips below {folder}.")
        return
    names = ("STATE", "VIDEO", "SIZE", "AGE", "MADE BY", "CLIP")
    cells = (
        (row["state"], row["video_id"], bytes_of(row["size"]), age_of(row["age"]), who(row), row["uri"]) for row in rows
    )
    show_table(names, cells, STYLES)
    counts = {state: sum(row["state"] == state for row in rows) for state in MEANINGS}
    say(", ".join(f"{count} {state}" for state, count in counts.items() if count))


def who(made_by: Mapping[str, Any]) -> str:
    """Name a task instance: ``dag run task[3]``."""
    names = " ".join(str(made_by[name]) for name in ("dag_id", "run_id", "task_id") if made_by.get(name) is not None)
    index = made_by.get("map_index")
    return f"{names}[{index}]" if isinstance(index, int) and index >= 0 else names


def show_clip(arguments: Namespace) -> int:
    """Show what is recorded of one clip."""
    destination = destination_of(arguments)
    _, manifest = manifest_at(destination)
    size, state = state_at(destination, manifest)
    told = advice_for(state, manifest, destination)
    if arguments.output == "json":
        put(dump({"state": state, "means": MEANINGS[state], "next": told, "manifest": manifest.as_dict()}, indent=1))
    else:
        show_manifest(manifest, state, size)
        for line in told:
            say(line)
    return 0


def show_manifest(manifest: Manifest, state: str, clip_size: int | None) -> None:
    """Print a manifest for people, without what it does not say."""
    facts = manifest.as_dict()
    for name in TIMES:
        facts[name] = moment_of(facts.get(name)) or None
    facts["made_by"] = who(manifest.made_by) or None
    facts["size"] = bytes_of(manifest.size) or None
    told = {"state": f"{state}: {MEANINGS[state]}", "clip": f"{bytes_of(clip_size)} are there" if clip_size else None}
    told |= {name: _text(value) for name, value in facts.items() if name not in ("phase", "version")}
    show_table(("", ""), ((name, value) for name, value in told.items() if value), STYLES)


def _text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        return dump(value) if value else None
    return None if value is None else str(value)


def advice_for(state: str, manifest: Manifest, destination: Destination) -> list[str]:
    """Return what a person may do about a clip, a line each."""
    uri = destination.uri
    if state == "lost":
        return [
            f"If a video was made: {command('adopt', uri, '--video-id <id>')} and run the task again.",
            f"If none was made, or you accept to pay again: {command('forget', uri)} and run the task again.",
        ]
    if state == "refused":
        return [f"Change the request. To send the same one once more: {command('forget', uri)} and run the task again."]
    if state == "created":
        return [f"The next run of the task goes on with it. To fetch it now: {command('fetch', uri)}"]
    if state == "missing":
        return [f"To fetch it again, if the gateway still has it: {command('fetch', uri)}"]
    if state == "creating":
        return [f"Its claim is over in {claim_left(manifest, age_at(destination, manifest)):.0f} s at the latest."]
    return []
