"""Where clips are kept, one file a store. The only folder that writes a clip or a manifest.

Whatever appears under a name appears there at once and whole.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import Store
from airflow_provider_wisdomgate.clips.stores.fsspec import ObjectStore
from airflow_provider_wisdomgate.clips.stores.local import LocalStore

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "adl": "azure"}


def open_store(uri: str) -> Store:
    """Open the store that a URI or an absolute path names.

    :raises ConfigurationError: there is none for its scheme.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme in ("", "file", "local"):
        path = unquote(uri.partition("://")[2]) if scheme else uri
        if not path.startswith("/"):
            raise errors.ConfigurationError(
                f"{uri!r} is no absolute path.", next_step="Use file:///folder/name or /folder/name."
            )
        return LocalStore(Path(path))
    try:
        return ObjectStore(uri)
    except (ValueError, ImportError) as error:
        extra = EXTRAS.get(scheme)
        raise errors.ConfigurationError(
            f"{uri!r}: Airflow has no filesystem for {scheme}:// ({error})",
            next_step=f"pip install 'airflow-provider-wisdomgate[{extra}]'"
            if extra
            else "Install the provider package that brings it, or use a path, s3://, gs:// or abfs://.",
        ) from error
