"""S3 and its kin, through Airflow's own S3Hook: roles, endpoints and proxies as the user set them.

A version is an ETag, a condition is ``If-Match`` or ``If-None-Match``. Uploads are our own 20 lines, not s3transfer's:
its manager takes no ``If-Match``, keeps up to 160 MiB of parts in memory, and hands the object's facts to nobody.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from typing import IO, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.exceptions import ClientError

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import (
    MAX_RECORD_BYTES,
    Address,
    ClipFile,
    Listed,
    Versioned,
    bytes_to_read,
    client_of,
    read_up_to,
    unsafe_storage_is_allowed,
    versioned,
)
from airflow_provider_wisdomgate.clips.stores.uploads import (
    FLAG,
    MARK,
    ONE_REQUEST_BYTES,
    TEXT,
    TEXTS,
    UPLOAD_ARGS,
    ObjectStore,
    none_of,
    read_upload_args,
    send_parts,
    size_of,
)

# How often a write is repeated that met another one under way (409), and the longest first pause in seconds.
CONFLICT_REPEATS = 8
CONFLICT_PAUSE = 0.05

# Of boto3's ExtraArgs, what can go with every object. No SSECustomerKey: each reader would need it, too.
ARGUMENTS = {
    **dict.fromkeys(("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext"), TEXT),
    "BucketKeyEnabled": FLAG,
    **dict.fromkeys(("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP"), TEXT),
    "StorageClass": none_of("GLACIER", "DEEP_ARCHIVE"),
    **dict.fromkeys(("Tagging", "CacheControl"), TEXT),
    "Metadata": TEXTS,
}

Condition = dict[str, str]


class S3Store(ObjectStore):
    """One key in a bucket, and those beside it."""

    weakness: str | None = None
    may_show_half = False
    no_version = '"00000000000000000000000000000000"'

    def __init__(self, uri: str, upload_args: Any = None) -> None:
        address = Address.of(uri)
        self.uri, self.place = uri, address.place
        self._client, own = client_of(("s3", address.conn_id), lambda: _client(address.conn_id))
        self._with = read_upload_args(uri, upload_args, own, ARGUMENTS)
        self._bucket, self.key = address.bucket, address.key

    def _at(self, suffix: str = "") -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self.key + suffix}

    def _head(self, suffix: str = "") -> dict[str, Any] | None:
        try:
            head: dict[str, Any] = self._client.head_object(**self._at(suffix))
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
        return head

    def read(self, suffix: str, limit: int = MAX_RECORD_BYTES) -> Versioned | None:
        try:
            found = self._client.get_object(**self._at(suffix))
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        size = found.get("ContentLength")
        with closing(found["Body"]) as body:
            data = read_up_to(body.read, bytes_to_read(size, limit))
        return versioned(data, size, limit, found["ETag"])

    def age(self, suffix: str) -> float | None:
        head = self._head(suffix)
        if head is None:
            return 0.0
        now = head["ResponseMetadata"]["HTTPHeaders"].get("date")
        if now is None:
            return None
        age: float = (parsedate_to_datetime(now) - head["LastModified"]).total_seconds()
        return max(0.0, age)

    def create(self, suffix: str, data: bytes) -> str | None:
        return self._put(suffix, data, {"IfNoneMatch": "*"})

    def replace(self, suffix: str, data: bytes, version: str) -> str | None:
        return self._put(suffix, data, {"IfMatch": version})

    def _put(self, suffix: str, data: bytes, condition: Condition) -> str | None:
        put = {**self._at(suffix), **self._with, "Body": data, "ContentType": "application/json"}
        done = self._if(condition, suffix, lambda holds: self._client.put_object(**put, **holds))
        return None if done is None else str(done["ETag"])

    def delete(self, suffix: str, version: str) -> bool:
        # Many servers ignore a condition on a delete, and some refuse it: so it is looked at first, everywhere.
        if self._etag(suffix) != version:
            return False
        try:
            self._client.delete_object(**self._at(suffix), IfMatch=version)
        except ClientError as error:
            if status_of(error) == 412 or code_of(error) == "NoSuchKey":
                return False
            if status_of(error) != 501:
                raise
            self._client.delete_object(**self._at(suffix))
        return True

    def _etag(self, suffix: str) -> str | None:
        head = self._head(suffix)
        return None if head is None else str(head["ETag"])

    def clip(self) -> ClipFile | None:
        head = self._head()
        if head is not None:
            return ClipFile(head["ContentLength"], head["ETag"])
        if self._is_folder():
            raise errors.ConfigurationError(f"destination {self.uri} is a folder.", next_step="Name a file in it.")
        return None

    def _is_folder(self) -> bool:
        try:
            listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self.key}/", MaxKeys=1)
        except ClientError as error:
            if status_of(error) == 403:  # who may read and write need not be allowed to list
                return False
            raise
        return bool(listed.get("Contents"))

    def read_range(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        try:
            found = self._client.get_object(**self._at(), Range=f"bytes={start}-{end - 1}")
        except ClientError as error:
            if status_of(error) == 416:
                return b""
            raise
        with closing(found["Body"]) as body:  # a server that ignores ranges sends all of it
            return read_up_to(body.read, end - start)

    def siblings(self, after: str = "") -> Iterator[Listed]:
        folder = self.folder
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=folder, **({"StartAfter": folder + after} if after else {})
        )
        for page in pages:
            for found in page.get("Contents", ()):
                yield Listed(found["Key"][len(folder) :], found["Size"])

    def publish(self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Any]) -> bool:
        mark = uuid.uuid4().hex
        metadata = {**self._with.get("Metadata", {}), MARK: mark}
        about = {**self._with, "ContentType": content_type, "Metadata": metadata}
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over.version}
        try:
            done = self._if(condition, "", lambda holds: self._upload(file, about, holds))
        except Exception:
            with suppress(Exception):  # what counts is the first error
                if self._carries(mark):
                    return True
            raise
        # boto3 repeats a request whose answer was lost, and the repeated one meets what the first one made.
        return done is not None or self._carries(mark)

    def _carries(self, mark: str) -> bool:
        head = self._head()
        return head is not None and head["Metadata"].get(MARK) == mark

    def _upload(self, file: IO[bytes], about: dict[str, Any], condition: Condition) -> Any:
        size = size_of(file)
        if size <= ONE_REQUEST_BYTES:
            return self._client.put_object(**self._at(), Body=file.read(), **about, **condition)
        upload = {**self._at(), "UploadId": self._client.create_multipart_upload(**self._at(), **about)["UploadId"]}

        def send(number: int, part: bytes) -> dict[str, Any]:
            sent = self._client.upload_part(**upload, PartNumber=number, Body=part)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        try:
            parts = {"Parts": send_parts(file, size, send)}
            return self._client.complete_multipart_upload(**upload, MultipartUpload=parts, **condition)
        except BaseException:
            with suppress(Exception):  # it is gone already if only the answer was lost
                self._client.abort_multipart_upload(**upload)
            raise

    def _if(self, condition: Condition, suffix: str, write: Callable[[Condition], Any]) -> Any:
        """Write under a condition; None if it does not hold.

        409 means that another write was under way and nothing was done: the whole write is repeated, parts included.
        """
        repeat = 0
        while True:
            try:
                return write(condition)
            except ClientError as error:
                if status_of(error) == 412 or (code_of(error) == "NoSuchKey" and "IfMatch" in condition):
                    return None
                if status_of(error) == 501:
                    return self._unconditionally(condition, suffix, write, error)
                if code_of(error) != "ConditionalRequestConflict" or repeat == CONFLICT_REPEATS:
                    raise
            time.sleep(random.uniform(0, CONFLICT_PAUSE * 2**repeat))
            repeat += 1

    def _unconditionally(
        self, condition: Condition, suffix: str, write: Callable[[Condition], Any], refusal: ClientError
    ) -> Any:
        if not unsafe_storage_is_allowed():
            raise errors.StorageError(
                f"The store at {self.place} knows no conditional writes (If-Match, If-None-Match): two tasks could pay "
                "for one clip.",
                next_step="Use a store that knows them, or set [wisdomgate] allow_unsafe_storage = True if never two "
                "tasks share a destination.",
            ) from refusal
        self.weakness = "The server knows no conditional writes; it is read and compared before a write instead."
        return write({}) if self._etag(suffix) == condition.get("IfMatch") else None


def _client(conn_id: str | None) -> tuple[Any, Any]:
    """Return a client, and the upload arguments of its connection."""
    # Without a connection boto3 finds its credentials itself, as Airflow's own S3 filesystem lets it.
    hook = S3Hook(aws_conn_id=conn_id)
    return hook.get_conn(), hook.conn_config.extra_config.get(UPLOAD_ARGS)


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an answer that boto3 raised."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """Return S3's own name of an error; a HEAD brings none."""
    return str(error.response.get("Error", {}).get("Code", ""))
