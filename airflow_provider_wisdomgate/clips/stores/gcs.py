"""Google Cloud Storage, through Airflow's own GCSHook. A version is an object's generation."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from airflow.providers.google.cloud.hooks.gcs import GCSHook
from google.api_core.exceptions import NotFound, PreconditionFailed, RequestRangeNotSatisfiable
from google.cloud import storage

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import (
    HEAD_BYTES,
    MAX_RECORD_BYTES,
    Address,
    ClipFile,
    Listed,
    Versioned,
    client_of,
    versioned,
)
from airflow_provider_wisdomgate.clips.stores.uploads import (
    MARK,
    PART_BYTES,
    TEXT,
    TEXTS,
    UPLOAD_ARGS,
    ObjectStore,
    read_upload_args,
    size_of,
)

# Airflow's own GCS filesystem reads an endpoint from it; the hook does not.
ENDPOINT = "gcs.endpoint"
TIMEOUT = 60.0
READS = 8
# As Google's client names them. All storage classes of GCS can be read at once.
ARGUMENTS = {
    **dict.fromkeys(("kms_key_name", "predefined_acl", "storage_class", "cache_control"), TEXT),
    "metadata": TEXTS,
}


class GCSStore(ObjectStore):
    """One object in a bucket, and those beside it."""

    weakness: str | None = None
    may_show_half = False
    # 0 means "no such object" in a condition; real generations are many digits long.
    no_version = 1

    def __init__(self, uri: str, upload_args: Any = None) -> None:
        address = Address.of(uri)
        self.uri, self.place = uri, address.place
        client, own = client_of(("gs", address.conn_id), lambda: _client(address.conn_id))
        self._with = read_upload_args(uri, upload_args, own, ARGUMENTS)
        self._bucket: Any = client.bucket(address.bucket)
        self.key = address.key

    def _blob(self, suffix: str = "") -> Any:
        return self._bucket.blob(self.key + suffix)

    def _new_blob(self, suffix: str = "", **metadata: str) -> Any:
        """Return a blob to write, with all upload arguments but the ACL, which its upload takes."""
        blob = self._bucket.blob(self.key + suffix, kms_key_name=self._with.get("kms_key_name"))
        for name in ("storage_class", "cache_control"):
            if name in self._with:
                setattr(blob, name, self._with[name])
        if metadata := {**self._with.get("metadata", {}), **metadata}:
            blob.metadata = metadata
        return blob

    def read(self, suffix: str, limit: int = MAX_RECORD_BYTES) -> Versioned | None:
        for _ in range(READS):
            # The client does not show the generation of what it downloads: it is asked first, then held to.
            found = self._bucket.get_blob(self.key + suffix, timeout=TIMEOUT)
            if found is None:
                return None
            with suppress(NotFound, PreconditionFailed):  # somebody changed it in between
                # Not what was found: its own link to the bytes is the server's, and an emulator's breaks at a "?".
                # Raw: the client would decode any amount out of a small object that is marked as gzip.
                bound = {"end": HEAD_BYTES - 1, "checksum": None} if found.size > limit else {}
                data = self._blob(suffix).download_as_bytes(
                    if_generation_match=found.generation, raw_download=True, timeout=TIMEOUT, **bound
                )
                return versioned(data, found.size, limit, found.generation)
        raise errors.StorageError(f"{self.uri}{suffix} changed {READS} times while it was read.")

    def age(self, suffix: str) -> float | None:
        """Google's client shows the time of a write, but not the server's own time to compare it with."""
        return None

    def create(self, suffix: str, data: bytes) -> int | None:
        return self._put(suffix, data, 0)

    def replace(self, suffix: str, data: bytes, version: int) -> int | None:
        return self._put(suffix, data, version)

    def _put(self, suffix: str, data: bytes, generation: int) -> int | None:
        blob = self._new_blob(suffix)
        try:
            blob.upload_from_string(
                data,
                content_type="application/json",
                predefined_acl=self._with.get("predefined_acl"),
                if_generation_match=generation,
                timeout=TIMEOUT,
            )
        except PreconditionFailed:
            return None
        return int(blob.generation)

    def delete(self, suffix: str, version: int) -> bool:
        try:
            self._blob(suffix).delete(if_generation_match=version, timeout=TIMEOUT)
        except (NotFound, PreconditionFailed):
            return False
        return True

    def clip(self) -> ClipFile | None:
        blob = self._bucket.get_blob(self.key, timeout=TIMEOUT)
        if blob is not None:
            return ClipFile(blob.size, blob.generation)
        if any(self._bucket.client.list_blobs(self._bucket, prefix=f"{self.key}/", max_results=1, timeout=TIMEOUT)):
            raise errors.ConfigurationError(f"destination {self.uri} is a folder.", next_step="Name a file in it.")
        return None

    def read_range(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        try:
            data: bytes = self._blob().download_as_bytes(start=start, end=end - 1, checksum=None, timeout=TIMEOUT)
        except RequestRangeNotSatisfiable:
            return b""
        return data

    def siblings(self, after: str = "") -> Iterator[Listed]:
        folder = self.folder
        start = {"start_offset": folder + after} if after else {}
        for found in self._bucket.client.list_blobs(self._bucket, prefix=folder, timeout=TIMEOUT, **start):
            name = found.name[len(folder) :]
            if name > after:  # the offset itself is listed, too
                yield Listed(name, found.size)

    def publish(self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Any]) -> bool:
        mark = uuid.uuid4().hex
        blob = self._new_blob(**{MARK: mark})
        # One resumable upload, chunk by chunk; nothing is visible before its last one.
        blob.chunk_size = PART_BYTES
        try:
            blob.upload_from_file(
                file,
                size=size_of(file),
                content_type=content_type,
                predefined_acl=self._with.get("predefined_acl"),
                if_generation_match=over.version if over else 0,
                timeout=TIMEOUT,
            )
        except PreconditionFailed:
            # The client repeats a request whose answer was lost, and the repeated one meets what the first one made.
            return self._carries(mark)
        except Exception:
            with suppress(Exception):  # what counts is the first error
                if self._carries(mark):
                    return True
            raise
        return True

    def _carries(self, mark: str) -> bool:
        blob = self._bucket.get_blob(self.key, timeout=TIMEOUT)
        return blob is not None and (blob.metadata or {}).get(MARK) == mark


def _client(conn_id: str | None) -> tuple[storage.Client, Any]:
    """Return a client, and the upload arguments of its connection."""
    if conn_id is None:
        # Google's client finds its credentials itself, as Airflow's own GCS filesystem lets it.
        return storage.Client(), None
    hook = GCSHook(gcp_conn_id=conn_id)
    if not hook.extras.get(ENDPOINT):
        return hook.get_conn(), hook.extras.get(UPLOAD_ARGS)
    client = storage.Client(
        credentials=hook.get_credentials(),
        project=hook.project_id,
        client_options={"api_endpoint": hook.extras[ENDPOINT]},
    )
    return client, hook.extras.get(UPLOAD_ARGS)
