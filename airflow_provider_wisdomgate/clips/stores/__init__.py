"""Where clips are kept, one file a store. The only folder that writes a clip or a manifest.

A file appears under its name at once and whole.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import Store
from airflow_provider_wisdomgate.clips.stores.local import LocalStore

ROOM = "airflow_provider_wisdomgate.clips.stores"
# Which store a scheme names, as "module:class". Imported when a URI asks for it: a DAG file or the API server has no
# use for boto3. Each needs the extra of its module's name. Any other scheme goes through Airflow's filesystems.
STORES: dict[str, str] = {
    **dict.fromkeys(("s3", "s3a"), f"{ROOM}.s3:S3Store"),
    **dict.fromkeys(("gs", "gcs"), f"{ROOM}.gcs:GCSStore"),
    **dict.fromkeys(("abfs", "abfss", "adl"), f"{ROOM}.azure:AzureStore"),
}
ANYTHING_ELSE = f"{ROOM}.fsspec:FsspecStore"


def open_store(uri: str, upload_args: Any = None) -> Store:
    """Open the store that a URI or an absolute path names.

    :param upload_args: what goes with every write into an object store, in place of what the storage's own connection
        says; see :func:`uploads.read_upload_args`. Local files have none.
    :raises ConfigurationError: there is none for its scheme, or an upload argument is wrong.
    """
    scheme = uri.partition("://")[0].lower() if "://" in uri else ""
    if scheme in ("", "file", "local"):
        return LocalStore(_local_path(uri))
    module, _, name = STORES.get(scheme, ANYTHING_ELSE).partition(":")
    try:
        store: Store = getattr(import_module(module), name)(uri, upload_args)
    except (ValueError, ImportError) as error:
        if isinstance(error, ValueError) and scheme in STORES:
            raise  # what is wrong is the connection, not the package
        extra = module.rpartition(".")[2] if scheme in STORES else None
        raise errors.ConfigurationError(
            f"{uri!r}: Airflow has no filesystem for {scheme}:// ({error})",
            next_step=f"pip install 'airflow-provider-wisdomgate[{extra}]'"
            if extra
            else "Install the provider package that brings it, or use a path, s3://, gs:// or abfs://.",
        ) from error
    return store


def _local_path(uri: str) -> Path:
    path = unquote(uri.partition("://")[2], errors="surrogateescape") if "://" in uri else uri
    if not path.startswith("/"):
        raise errors.ConfigurationError(
            f"{uri!r} is no absolute path.", next_step="Use file:///folder/name or /folder/name."
        )
    return Path(path)
