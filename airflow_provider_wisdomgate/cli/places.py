"""The folders and destinations that a person names on the command line."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import check_gateway
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import MANIFEST, Destination, inside, resolve_destination
from airflow_provider_wisdomgate.ledger.folder import Kept, read_kept
from airflow_provider_wisdomgate.ledger.record import Manifest


def folder_of(name: str | None, conn_id: str) -> str:
    """Return the folder that is meant, as URI or absolute path; the storage path if none is named.

    :raises ConfigurationError: there is no storage path.
    """
    if name:
        return _complete(name.rstrip("/") or "/", conn_id)
    if storage_path := _storage_path(conn_id):
        return storage_path
    raise errors.ConfigurationError(
        "No folder is named, and no storage path is set.", next_step="Name a folder or a URI, e.g. s3://bucket/videos."
    )


def destination_of(name: str, conn_id: str) -> Destination:
    """Return the destination that is meant."""
    return Destination(_complete(name, conn_id), upload_args_of(conn_id))


def upload_args_of(conn_id: str) -> Any:
    """Return a connection's arguments of writes into object stores."""
    try:
        return WisdomGateHook(conn_id).settings.upload_args
    except errors.ConfigurationError:  # as of the storage path, see below
        return None


def _complete(name: str, conn_id: str) -> str:
    is_whole = "://" in name or name.startswith("/")
    return name if is_whole else resolve_destination(name, _storage_path(conn_id))


def folder_to_compare(destination: Destination, conn_id: str) -> str:
    """Return the folder whose records may have the same video: the storage path if the clip is in it, else its own."""
    if path := _storage_path(conn_id):
        top = Destination(inside(path, "clip")).uri.removesuffix("clip")
        if destination.uri.startswith(top):
            return top.rstrip("/") or top
    return destination.uri.rpartition("/")[0]


def _storage_path(conn_id: str) -> str | None:
    try:
        return WisdomGateHook(conn_id).storage_path
    except errors.ConfigurationError:  # the connection of workers need not be known where people type
        return conf.get("wisdomgate", "storage_path", fallback=None) or None


def kept_at(destination: Destination) -> Kept:
    """Read what is kept of a clip.

    :raises WisdomGateError: there is no manifest, or none of ours.
    """
    if kept := read_kept(destination):
        return kept
    advice = "wisdomgate clips list shows what there is."
    if destination.uri.endswith(MANIFEST):
        advice = f"Name the clip, without {MANIFEST}."
    raise errors.WisdomGateError(f"There is no manifest at {destination.uri}{MANIFEST}.", next_step=advice)


def is_selected(kept: Kept, arguments: Namespace) -> bool:
    """Whether the filters of a command let a clip through."""
    made_by = kept.manifest.made_by if kept.manifest else {}
    wanted = {name: value for name in ("dag_id", "run_id", "task_id") if (value := getattr(arguments, name))}
    age = age_of_clip(kept)
    return (
        (not arguments.state or kept.is_in(arguments.state))
        and all(made_by.get(name) == value for name, value in wanted.items())
        and (arguments.older_than is None or (age is not None and age >= arguments.older_than))
    )


def is_filtered(arguments: Namespace) -> bool:
    """Whether a command has a filter."""
    return any(getattr(arguments, name) is not None for name in ("state", "dag_id", "run_id", "task_id", "older_than"))


def age_of_clip(kept: Kept) -> int | None:
    """Return the seconds since anything last happened, by the clocks of those that did it; None if unknown."""
    found = kept.manifest
    times = (found.claimed_at, found.created_at, found.stored_at) if found else ()
    since = max((at for at in times if at), default=0.0)
    return max(int(time.time() - since), 0) if 0 < since < 1e11 else None


def hook_for(conn_id: str, manifest: Manifest) -> WisdomGateHook:
    """Return the hook of the gateway that a manifest's video is at.

    :raises ConfigurationError: the connection leads to another one.
    """
    hook = WisdomGateHook(conn_id)
    remedy = "Name the connection that the task uses: --conn-id."
    check_gateway(manifest.request.get("base_url"), hook.settings.base_url, conn_id, remedy)
    return hook
