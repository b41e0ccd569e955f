"""``clips list`` and ``clips show``: what is kept. Changes nothing."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
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
from airflow_provider_wisdomgate.cli.places import (
    age_of_clip,
    destination_of,
    folder_of,
    is_selected,
    kept_at,
    upload_args_of,
)
from airflow_provider_wisdomgate.cli.run import ERROR
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.folder import Kept, age_at, find_kept
from airflow_provider_wisdomgate.ledger.record import ids_in
from airflow_provider_wisdomgate.ledger.rules import STATES, Action, State, damage_actions, next_actions

MADE_BY = ("dag_id", "run_id", "task_id", "map_index")
COLUMNS = ("state", "video_id", "size", "age", *MADE_BY, "uri")
TIMES = ("claimed_at", "lost_at", "created_at", "stored_at", "killed_at", "expires_at")
# Of a record that cannot be read, so many bytes are shown.
SHOWN_BYTES = 2000


def _style(state: State) -> str:
    return "bold red" if state.acts == "person" else {"failed": "red", "stored": "green"}.get(state.group, "")


STYLES = {name: _style(state) for name, state in STATES.items()}


def list_clips(arguments: Namespace) -> int:
    """List the clips of a folder. ``age`` is in seconds for programs."""
    folder, unread = folder_of(arguments.folder, arguments.conn_id), list[Kept]()
    rows = (row_of(kept) for kept in selected(folder, arguments, unread))
    if arguments.output == "table":
        _show_clips(folder, list(rows))
    else:
        show_rows(rows, COLUMNS, arguments.output)
    for kept in unread:
        say(f"wisdomgate: not read: {kept.problem}")
    return ERROR if unread else 0


def selected(folder: str, arguments: Namespace, unread: list[Kept]) -> Iterator[Kept]:
    """Yield the clips of a folder that a command's filters let through.

    :param unread: gets those that could not be read and are not damaged.
    """
    with progress("manifests read") as bar:
        for kept in find_kept(folder, upload_args=upload_args_of(arguments.conn_id)):
            bar.advance(bar.task_ids[0])
            if not kept.state:
                unread.append(kept)
            elif is_selected(kept, arguments):
                yield kept


def row_of(kept: Kept) -> dict[str, Any]:
    """Return what a listing shows of a clip."""
    manifest, size = kept.manifest, kept.clip_size
    if manifest is None:
        return {"state": kept.state, "size": size, "uri": kept.destination.uri}
    made_by = {name: manifest.made_by.get(name) for name in MADE_BY}
    size = manifest.size if size is None else size
    known = {"state": kept.state, "video_id": manifest.video_id, "size": size, "age": age_of_clip(kept)}
    return {**known, **made_by, "uri": kept.destination.uri}


def _show_clips(folder: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        say(f"No such clips below {folder}.")
        return
    show_clips(rows)
    say(counted([row["state"] for row in rows]))


def show_clips(rows: list[dict[str, Any]], more: tuple[str, ...] = ()) -> None:
    """Print a table of clips for people.

    :param more: the rows' further cells to show.
    """
    names = ("STATE", "VIDEO", "SIZE", "AGE", "MADE BY", "CLIP", *(name.upper() for name in more))
    cells = (
        (
            *(row["state"], row.get("video_id"), bytes_of(row["size"]), age_of(row.get("age")), who(row), row["uri"]),
            *(row[name] for name in more),
        )
        for row in rows
    )
    show_table(names, cells, STYLES)


def counted(states: list[str]) -> str:
    """Return how many clips are in each state: ``2 lost, 1 stored``."""
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)


def who(made_by: Mapping[str, Any]) -> str:
    """Name a task instance: ``dag run task[3]``."""
    names = " ".join(str(made_by[name]) for name in ("dag_id", "run_id", "task_id") if made_by.get(name) is not None)
    index = made_by.get("map_index")
    return f"{names}[{index}]" if isinstance(index, int) and index >= 0 else names


def show_clip(arguments: Namespace) -> int:
    """Show what is recorded of one clip."""
    kept = kept_at(destination_of(arguments.destination, arguments.conn_id))
    actions = [_line(action) for action in _actions(kept)]
    if arguments.output == "json":
        facts = {"manifest": kept.manifest.as_dict()} if kept.manifest else _remains(kept, arguments.conn_id)
        put(dump({"state": kept.state, "means": STATES[kept.state].means, "next": actions, **facts}, indent=1))
    else:
        show_kept(kept, arguments.conn_id)
        for line in actions:
            say(line)
    return 0


def _actions(kept: Kept) -> tuple[Action, ...]:
    if kept.manifest is None:
        return damage_actions(kept.destination.uri, kept.problem)
    return next_actions(kept.state, kept.manifest, age_at(kept.destination, kept.manifest))


def _line(action: Action) -> str:
    return f"(pays) {action}" if action.pays else str(action)


def show_kept(kept: Kept, conn_id: str) -> None:
    """Print what is kept of a clip for people, without what the manifest does not have."""
    manifest = kept.manifest
    facts = manifest.as_dict() if manifest else _remains(kept, conn_id)
    if manifest:
        facts |= {name: moment_of(facts.get(name)) or None for name in TIMES}
        facts |= {"made_by": who(manifest.made_by) or None, "size": bytes_of(manifest.size) or None}
    shown = {
        "state": f"{kept.state}: {STATES[kept.state].means}",
        "clip": f"{bytes_of(kept.clip_size)} are there" if kept.clip_size else None,
    }
    shown |= {name: _text(value) for name, value in facts.items() if name not in ("phase", "version")}
    show_table(("", ""), ((name, value) for name, value in shown.items() if value), STYLES)


def _remains(kept: Kept, conn_id: str) -> dict[str, Any]:
    """Return what can be read of a damaged record: its size, its video ids, and how it begins, without the key."""
    read = kept.destination.find_any()
    data = read.data if read else b""
    shown: Callable[[str], str] = str
    with suppress(errors.ConfigurationError):  # without a connection no key is known
        shown = WisdomGateHook(conn_id).settings.redactor.shown
    begins = data[:SHOWN_BYTES].decode(errors="replace") + "..." * (read is not None and read.size > SHOWN_BYTES)
    return {
        "uri": kept.destination.uri,
        "problem": kept.problem.message if kept.problem else None,
        "bytes": read.size if read else 0,
        "video_ids": [shown(video_id) for video_id in ids_in(data)],
        "begins": shown(begins)[:SHOWN_BYTES],
    }


def _text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        return dump(value) if value else None
    return None if value is None else str(value)
