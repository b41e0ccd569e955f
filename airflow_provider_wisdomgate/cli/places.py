"""What a person names on the command line: folders and destinations."""

from __future__ import annotations

from argparse import Namespace

from airflow.providers.common.compat.sdk import conf

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import check_gateway
from airflow_provider_wisdomgate.clips.destination import MANIFEST, Destination, Found, resolve_destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.hooks import WisdomGateHook


def folder_of(arguments: Namespace) -> str:
    """Return the folder that is meant, as URI or absolute path; the storage path where none is named.

    :raises ConfigurationError: there is no storage path.
    """
    named: str = (arguments.folder or "").rstrip("/")
    if named or arguments.folder:
        return _complete(named or "/", arguments.conn_id)
    if storage_path := _storage_path(arguments.conn_id):
        return storage_path
    raise errors.ConfigurationError(
        "No folder is named, and no storage path is set.", next_step="Name a folder or a URI, e.g. s3://bucket/videos."
    )


def destination_of(arguments: Namespace) -> Destination:
    """Return the destination that is meant."""
    return Destination(_complete(arguments.destination, arguments.conn_id))


def _complete(name: str, conn_id: str) -> str:
    is_whole = "://" in name or name.startswith("/")
    return name if is_whole else resolve_destination(name, _storage_path(conn_id))


def _storage_path(conn_id: str) -> str | None:
    try:
        return WisdomGateHook(conn_id).storage_path
    except errors.ConfigurationError:  # the connection of workers need not be known where people type
        return conf.get("wisdomgate", "storage_path", fallback=None) or None


def manifest_at(destination: Destination) -> tuple[Found, Manifest]:
    """Read the manifest of a destination, and the version that a change of it is conditional on.

    :raises WisdomGateError: there is none, or none of ours.
    """
    found = destination.find()
    if found is not None and found.manifest is not None:
        return found, found.manifest
    advice = "wisdomgate clips list shows what there is."
    if destination.uri.endswith(MANIFEST):
        advice = f"Name the clip, without {MANIFEST}."
    raise errors.WisdomGateError(f"There is no manifest at {destination.uri}{MANIFEST}.", next_step=advice)


def hook_for(arguments: Namespace, manifest: Manifest) -> WisdomGateHook:
    """Return the hook of the gateway that a manifest's video is at.

    :raises ConfigurationError: the connection leads to another one.
    """
    hook = WisdomGateHook(arguments.conn_id)
    remedy = "Name the connection that the task uses: --conn-id."
    check_gateway(manifest.request.get("base_url"), hook.settings.base_url, arguments.conn_id, remedy)
    return hook
