"""Azure Blob Storage, through Airflow's own WasbHook and Azure's client. A version is an ETag."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any

from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobServiceClient, ContentSettings, StandardBlobTier, __version__

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import (
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
    TEXT,
    TEXTS,
    UPLOAD_ARGS,
    ObjectStore,
    one_of,
    read_upload_args,
    send_parts,
    size_of,
)

# A condition that does not hold is answered 412, or 409 where something is there against If-None-Match: *.
NOT_HELD = (ResourceModifiedError, ResourceExistsError)
MISSING = {"match_condition": MatchConditions.IfMissing}

# As Azure's client names them. No cpk: each reader would need the key, too. The tier Archive is offline.
ARGUMENTS = {
    "encryption_scope": TEXT,
    "standard_blob_tier": one_of("Hot", "Cool", "Cold"),
    "cache_control": TEXT,
    **dict.fromkeys(("metadata", "tags"), TEXTS),
}
# Before 12.28 the client always decodes, any amount out of a small blob that is marked as gzip.
CAN_STAY_PLAIN = tuple(map(int, __version__.split(".")[:2])) >= (12, 28)
PLAIN: dict[str, Any] = {"decompress": False} if CAN_STAY_PLAIN else {}

Condition = dict[str, Any]


def unchanged(etag: str) -> Condition:
    """Make the condition that a blob still is this version."""
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


class AzureStore(ObjectStore):
    """One blob in a container, and those beside it."""

    weakness: str | None = None
    may_show_half = False
    no_version = '"0x000000000000000"'

    def __init__(self, uri: str, upload_args: Any = None) -> None:
        address = Address.of(uri)
        self.uri, self.place = uri, address.place
        service, own = client_of(("azure", address.conn_id), lambda: _service(address.conn_id))
        self._with = read_upload_args(uri, upload_args, own, ARGUMENTS)
        self._container: Any = service.get_container_client(address.bucket)
        self.key = address.key

    def _blob(self, suffix: str = "") -> Any:
        return self._container.get_blob_client(self.key + suffix)

    def read(self, suffix: str, limit: int = MAX_RECORD_BYTES) -> Versioned | None:
        blob = self._blob(suffix)
        try:
            # Of what comes in several parts, the client holds the later ones to the first one's ETag.
            found = blob.download_blob(offset=0, length=limit, **PLAIN)
        except ResourceNotFoundError as error:
            if is_no_blob(error):
                return None
            raise
        except HttpResponseError as error:
            if error.status_code != 416:  # an empty blob has no ranges
                raise
            seen = blob.get_blob_properties()
            return self.read(suffix, limit) if seen.size else Versioned(b"", seen.etag)
        size = int(found.properties.content_range.rpartition("/")[2])
        return versioned(found.readall(), size, limit, found.properties.etag)

    def age(self, suffix: str) -> float | None:
        dates: list[str | None] = []
        try:
            blob = self._blob(suffix).get_blob_properties(
                raw_response_hook=lambda answer: dates.append(answer.http_response.headers.get("Date"))
            )
        except ResourceNotFoundError as error:
            if is_no_blob(error):
                return 0.0
            raise
        written: datetime = blob.last_modified
        now = dates[-1] if dates else None
        return None if now is None else max(0.0, (parsedate_to_datetime(now) - written).total_seconds())

    def create(self, suffix: str, data: bytes) -> str | None:
        return self._put(suffix, data, MISSING)

    def replace(self, suffix: str, data: bytes, version: str) -> str | None:
        return self._put(suffix, data, unchanged(version))

    def _put(self, suffix: str, data: bytes, condition: Condition) -> str | None:
        try:
            about = self._about("application/json")
            done = self._blob(suffix).upload_blob(data, overwrite=True, **about, **condition)
        except NOT_HELD:
            return None
        return str(done["etag"])

    def delete(self, suffix: str, version: str) -> bool:
        try:
            self._blob(suffix).delete_blob(**unchanged(version))
        except NOT_HELD:
            return False
        except ResourceNotFoundError as error:
            if is_no_blob(error):
                return False
            raise
        return True

    def clip(self) -> ClipFile | None:
        try:
            blob = self._blob().get_blob_properties()
        except ResourceNotFoundError as error:
            if not is_no_blob(error):
                raise
        else:
            return ClipFile(blob.size, blob.etag)
        if next(iter(self._container.list_blob_names(name_starts_with=f"{self.key}/", results_per_page=1)), None):
            raise errors.ConfigurationError(f"destination {self.uri} is a folder.", next_step="Name a file in it.")
        return None

    def read_range(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        try:
            data: bytes = self._blob().download_blob(offset=start, length=end - start).readall()
        except HttpResponseError as error:
            if error.status_code == 416:
                return b""
            raise
        return data

    def siblings(self, after: str = "") -> Iterator[Listed]:
        folder = self.folder
        for found in self._container.list_blobs(name_starts_with=folder):
            name = found.name[len(folder) :]
            if name > after:  # a listing begins where it begins: what is before is read and left out
                yield Listed(name, found.size)

    def publish(self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Any]) -> bool:
        mark = uuid.uuid4().hex
        try:
            self._upload(file, mark, content_type, unchanged(over.version) if over else MISSING)
        except NOT_HELD:
            # The client repeats a request whose answer was lost, and the repeated one meets what the first one made.
            return self._carries(mark)
        except Exception:
            # The first commit discards the other's blocks, too: that error is not the one of a condition.
            with suppress(Exception):  # what counts is the first error
                if self._carries(mark):
                    return True
                if self.clip() != over:
                    return False
            raise
        return True

    def _about(self, content_type: str, **metadata: str) -> dict[str, Any]:
        """Return what goes with a blob: its type, metadata and the upload arguments."""
        about = {**self._with, "metadata": {**self._with.get("metadata", {}), **metadata}}
        cache_control = about.pop("cache_control", None)
        if "standard_blob_tier" in about:
            about["standard_blob_tier"] = StandardBlobTier(about["standard_blob_tier"])
        return {**about, "content_settings": ContentSettings(content_type=content_type, cache_control=cache_control)}

    def _upload(self, file: IO[bytes], mark: str, content_type: str, condition: Condition) -> None:
        """Stage blocks and commit them at once.

        Not ``upload_blob``: it reads up to 64 MiB into memory at once, unless the connection sets another size. Blocks
        that are never committed are invisible, and Azure removes them within a week.
        """
        blob, about = self._blob(), self._about(content_type, **{MARK: mark})
        scope = {name: about[name] for name in ("encryption_scope",) if name in about}

        def stage(number: int, part: bytes) -> Any:
            block = base64.b64encode(f"{mark}-{number:05}".encode()).decode()
            blob.stage_block(block, part, length=len(part), **scope)
            return BlobBlock(block)

        blob.commit_block_list(send_parts(file, size_of(file), stage), **about, **condition)

    def _carries(self, mark: str) -> bool:
        try:
            blob = self._blob().get_blob_properties()
        except ResourceNotFoundError as error:
            if is_no_blob(error):
                return False
            raise
        return bool(blob.metadata.get(MARK) == mark)


def is_no_blob(error: ResourceNotFoundError) -> bool:
    """Distinguish a missing blob from a missing container. A HEAD does not: there it counts as a missing blob."""
    return getattr(error, "error_code", None) != "ContainerNotFound"


def _service(conn_id: str | None) -> tuple[Any, Any]:
    """Return a client, and the upload arguments of its connection."""
    # The environment's variables for Azure's tools, and so for Airflow's own Azure filesystem.
    if not conn_id and (connection_string := os.environ.get("AZURE_STORAGE_CONNECTION_STRING")):
        return BlobServiceClient.from_connection_string(connection_string), None
    hook = _Hook(conn_id) if conn_id else _Hook()
    return hook.get_conn(), hook.get_connection(hook.conn_id).extra_dejson.get(UPLOAD_ARGS)


class _Hook(WasbHook):  # type: ignore[misc]  # seen as Any: not everybody has this package
    """WasbHook, for connections of the older kinds (``adls``, ``azure_data_lake``) as well."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Put things where WasbHook looks for them: the filesystem knew other prefixes, and an account in the extra."""
        connection = super().get_connection(conn_id)
        prefix = f"extra__{connection.conn_type}__"
        extra = {name.removeprefix(prefix): value for name, value in connection.extra_dejson.items() if value != ""}
        connection.extra = json.dumps(extra)
        if not connection.host and "account_host" in extra:
            connection.host = f"https://{extra['account_host']}"
        elif not connection.host and "account_name" in extra:
            connection.host = f"https://{extra['account_name']}.blob.core.windows.net"
        return connection
