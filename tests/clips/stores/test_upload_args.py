"""Upload arguments go with every write: a bucket that demands one refuses a manifest as it refuses a clip."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from commands import manifest
from emulators import AzurePlace, GCSPlace
from s3_server import Proxy, proxy_before
from store_steps import JSON, MIB, keep, publish
from support import S3Place, made

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.main import parser
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.driver import mark_killed
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1", "BucketKeyEnabled": True}
ALL = {**KMS, "StorageClass": "STANDARD_IA", "CacheControl": "no-cache", "Tagging": "team=films"}
ALL |= {"ACL": "bucket-owner-full-control", "Metadata": {"team": "films"}}
# What moto does not show of every object, by the header that carries it.
UNSEEN = {"ACL": "x-amz-acl", "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled"}
KEPT = {name: value for name, value in ALL.items() if name not in UNSEEN}


class Sealed:
    """A bucket whose policy denies ``s3:PutObject`` without the header; keeps the headers of each such write."""

    def __init__(self, uri: Callable[..., str]) -> None:
        self.uri, self.writes = uri, list[Mapping[str, str]]()

    def __call__(self, *arguments: Any, **options: Any) -> str:
        return self.uri(*arguments, **options)

    def judge(self, method: str, target: str, headers: Mapping[str, str]) -> str | None:
        is_put, is_begin = method == "PUT" and "partNumber" not in target, method == "POST" and "uploadId" not in target
        if not (is_put or is_begin):
            return None
        self.writes.append(headers)
        return None if headers.get("x-amz-server-side-encryption") == "aws:kms" else "403 AccessDenied"


@pytest.fixture
def sealed(s3: S3Place, _s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sealed]:
    """Name a key of a bucket that demands encryption, below a connection with these upload arguments."""
    with proxy_before(_s3_url) as proxy:

        def uri(upload_args: Any = None, name: str = "a/cat.mp4") -> str:
            extra = {"endpoint_url": proxy.url, "region_name": "us-east-1", "upload_args": upload_args}
            aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
            monkeypatch.setenv("AIRFLOW_CONN_AWS_SEALED", json.dumps(aws))
            return f"s3://aws_sealed@{s3.bucket}/{name}"

        sealed = Sealed(uri)
        proxy.policy = sealed.judge
        yield sealed


def facts_of(place: S3Place, name: str) -> dict[str, Any]:
    """Return how an object is kept, by the names of the upload arguments."""
    head = place.client.head_object(Bucket=place.bucket, Key=name)
    tags = place.client.get_object_tagging(Bucket=place.bucket, Key=name)["TagSet"]
    head["Tagging"] = "&".join(f"{tag['Key']}={tag['Value']}" for tag in tags)
    head["Metadata"].pop("wisdomgateupload", None)
    return {name: head.get(name) for name in ALL if name not in UNSEEN}


def test_a_bucket_that_demands_encryption_refuses_writes_without_it(sealed: Sealed, s3: S3Place) -> None:
    for size in (1000, 20 * MIB):
        with pytest.raises(Exception, match="AccessDenied"):
            publish(open_store(sealed()), bytes(size), beside="any")
    with pytest.raises(Exception, match="AccessDenied"):
        open_store(sealed()).create(JSON, b"{}")
    assert s3.names() == []


@pytest.mark.parametrize("size", [1000, 20 * MIB])
@pytest.mark.parametrize("by", ["storage", "gateway", "both", "text"])
def test_every_write_carries_the_upload_arguments(sealed: Sealed, s3: S3Place, size: int, by: str) -> None:
    own = {"storage": ALL, "gateway": None, "both": {"ACL": "private"}, "text": json.dumps(ALL)}[by]
    store = open_store(sealed(own), ALL if by in ("gateway", "both") else None)
    version = store.replace(JSON, b'{"a": 1}', keep(store, b"{}"))
    assert version
    assert facts_of(s3, "a/cat.mp4.json") == KEPT
    for _ in range(2):
        assert publish(store, bytes(size), over=store.clip())
        assert facts_of(s3, "a/cat.mp4") == KEPT
    assert store.sibling("b.mp4").create(JSON, b"{}")
    assert store.delete(JSON, version)
    unseen = [[headers.get(name) for name in UNSEEN.values()] for headers in sealed.writes]
    assert unseen == [["bucket-owner-full-control", "true"]] * 5


def test_a_clip_is_downloaded_into_a_bucket_that_demands_encryption(
    connect: Any, quick: None, sealed: Sealed, s3: S3Place
) -> None:
    connect(extra={"upload_args": json.dumps(KMS)})  # as the form writes it
    hook = WisdomGateHook()
    stored = hook.download_video(made(hook), sealed())
    assert (stored.phase, s3.names()) == ("stored", ["a/cat.mp4", "a/cat.mp4.json"])
    assert facts_of(s3, "a/cat.mp4")["SSEKMSKeyId"] == "key-1"


def test_a_task_a_kill_and_a_command_write_with_the_connection_s_arguments(
    connect: Any, generate: Any, sealed: Sealed, context: Any, s3: S3Place
) -> None:
    connect(extra={"upload_args": KMS})
    stored = generate(destination=sealed()).execute(context())
    assert (stored["phase"], facts_of(s3, "a/cat.mp4.json")["SSEKMSKeyId"]) == ("stored", "key-1")
    paid = manifest(sealed(name="b.mp4"), "created")
    s3.write("b.mp4.json", paid.dump())
    words = {"destination": paid.uri, "claim_id": paid.claim_id, "made_by": paid.made_by}
    with pytest.raises(errors.StorageError, match="AccessDenied"):
        mark_killed(words, str(paid.video_id))
    mark_killed({**words, "upload_args": KMS}, str(paid.video_id))
    assert facts_of(s3, "b.mp4.json")["SSEKMSKeyId"] == "key-1"
    s3.write("b.mp4.json", paid.dump())
    folder = sealed(name="").rstrip("/")
    arguments = parser().parse_args(["clips", "forget", "--folder", folder, "--state", "created", "--yes"])
    arguments.func(arguments)
    assert Destination(paid.uri).read() != paid
    assert facts_of(s3, "b.mp4.json")["SSEKMSKeyId"] == "key-1"


def test_a_deferred_task_carries_the_arguments_for_a_kill(
    connect: Any, generate: Any, sealed: Sealed, context: Any, s3: S3Place
) -> None:
    connect(extra={"upload_args": KMS})
    with pytest.raises(TaskDeferred) as deferral:
        generate(destination=sealed(), deferrable=True).execute(context())
    assert deferral.value.trigger.serialize()[1]["claim"]["upload_args"] == KMS


BAD: dict[str, tuple[Any, str]] = {
    "no object": ("aws:kms", "upload_args must be a JSON object, not 'aws:kms'"),
    "a list": ([KMS], "upload_args must be a JSON object"),
    "unknown": ({"SSE": "aws:kms"}, "s3:// takes no 'SSE'. It takes ServerSideEncryption"),
    "another store's": ({"kms_key_name": "k"}, "s3:// takes no 'kms_key_name'"),
    "a customer's key": ({"SSECustomerKey": "secret"}, "s3:// takes no 'SSECustomerKey'"),
    "ours": ({"Body": "x"}, "s3:// takes no 'Body'"),
    "the condition's": ({"IfMatch": "x"}, "s3:// takes no 'IfMatch'"),
    "no text": ({"ACL": 5}, "ACL must be a text, not 5"),
    "no flag": ({"BucketKeyEnabled": "yes"}, "BucketKeyEnabled must be true or false, not 'yes'"),
    "no texts": ({"Metadata": {"a": 1}}, "Metadata must be an object of texts"),
    "offline": ({"StorageClass": "GLACIER"}, "StorageClass must be a text, and not GLACIER or DEEP_ARCHIVE"),
}


@pytest.mark.parametrize("by", ["storage", "gateway"])
@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=[name.replace(" ", "-") for name in BAD])
def test_a_wrong_argument_is_named_before_anything_is_sent(
    given: Any, message: str, by: str, connect: Any, generate: Any, sealed: Sealed, context: Any, sandbox: Sandbox
) -> None:
    connect(extra={"upload_args": given} if by == "gateway" else {})
    task: WisdomGateGenerateVideoOperator = generate(destination=sealed(given if by == "storage" else None))
    with pytest.raises(errors.ConfigurationError) as raised:
        task.execute(context())
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
    assert sandbox.requests() == []


def test_local_files_have_no_upload_arguments(connect: Any, generate: Any, context: Any, memory: Any) -> None:
    connect(extra={"upload_args": KMS})
    assert generate().execute(context())["phase"] == "stored"
    with pytest.raises(errors.ConfigurationError, match=r"memory:// takes none, only s3://.*storage's own connection"):
        generate(destination="memory://clips/cat.mp4").execute(context())


# GCS


def gcs_writes(place: GCSPlace, act: Callable[[], Any]) -> list[dict[str, Any]]:
    """Return what the emulator was asked for by each write: the query, and the object's metadata."""
    seen: list[dict[str, Any]] = []
    judge = place.proxy.judge

    def look(method: str, target: str, body: bytes) -> Any:
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        if method == "POST" and "upload_id" not in query:
            text = body.decode(errors="replace")
            described = json.JSONDecoder().raw_decode(text, text.index("{"))[0]
            seen.append({**described, **query})
        return judge(method, target, body) if judge else None

    place.proxy.judge = look
    try:
        act()
    finally:
        place.proxy.judge = judge
    return seen


def test_gcs_is_told_the_upload_arguments_by_every_write(gcs: GCSPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"kms_key_name": "projects/p/k", "predefined_acl": "bucketOwnerFullControl"}
    given |= {"storage_class": "NEARLINE", "cache_control": "no-cache"}
    own = {**gcs.connection["extra"], "upload_args": {**given, "metadata": {"team": "films"}}}
    monkeypatch.setenv("AIRFLOW_CONN_GCS_EMULATED", json.dumps({**gcs.connection, "extra": own}))
    store = open_store(gcs.uri("a/cat.mp4"))

    def write() -> None:
        assert store.replace(JSON, b"[]", keep(store, b"{}"))
        for size in (1000, 20 * MIB):
            assert publish(store, bytes(size), over=store.clip())

    writes = gcs_writes(gcs, write)
    names = {"kmsKeyName": "kms_key_name", "predefinedAcl": "predefined_acl", "storageClass": "storage_class"}
    names |= {"cacheControl": "cache_control"}
    assert [{ours: each.get(its) for its, ours in names.items()} for each in writes] == [given] * 4
    assert [each["metadata"]["team"] for each in writes] == ["films"] * 4


@pytest.mark.parametrize(
    ("given", "message"),
    [({"ACL": "private"}, "takes no 'ACL'"), ({"metadata": "x"}, "metadata must be an object of texts")],
)
def test_gcs_refuses_a_wrong_argument(given: Any, message: str, gcs: GCSPlace) -> None:
    with pytest.raises(errors.ConfigurationError, match=message):
        open_store(gcs.uri("a/cat.mp4"), given)


# Azure


@pytest.fixture
def azure_proxy(azure: AzurePlace) -> Iterator[Proxy]:
    with proxy_before(str(azure.container.url).split("/devstoreaccount1")[0]) as proxy:
        yield proxy


def test_azure_is_told_the_upload_arguments_by_every_write(
    azure: AzurePlace, azure_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Mapping[str, str]] = []

    def look(method: str, target: str, headers: Mapping[str, str]) -> None:
        if method == "PUT":
            sent.append({name.lower(): value for name, value in headers.items()} | {"target": target})

    given = {"encryption_scope": "films", "standard_blob_tier": "Cool", "cache_control": "no-cache"}
    given |= {"metadata": {"team": "films"}, "tags": {"team": "films"}}
    string = azure.connection["extra"]["connection_string"]
    url = str(azure.container.url).split("/devstoreaccount1")[0]
    extra = {"connection_string": string.replace(url, azure_proxy.url), "upload_args": given}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_EMULATED", json.dumps({**azure.connection, "extra": extra}))
    azure_proxy.policy = look
    store = open_store(azure.uri("a/cat.mp4"))
    assert store.replace(JSON, b"[]", keep(store, b"{}"))
    assert publish(store, bytes(20 * MIB), over=store.clip())
    assert {each["x-ms-encryption-scope"] for each in sent} == {"films"}
    wholes = [each for each in sent if "comp=block&" not in each["target"]]
    names = ("x-ms-access-tier", "x-ms-tags", "x-ms-meta-team", "x-ms-blob-cache-control")
    assert [[each.get(name) for name in names] for each in wholes] == [["Cool", "team=films", "films", "no-cache"]] * 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"standard_blob_tier": "Archive"}, "standard_blob_tier must be one of Hot, Cool, Cold, not 'Archive'"),
        ({"cpk": "secret"}, "takes no 'cpk'"),
        ({"tags": {"a": ""}}, "tags must be an object of texts"),
    ],
)
def test_azure_refuses_a_wrong_argument(given: Any, message: str, azure: AzurePlace) -> None:
    with pytest.raises(errors.ConfigurationError, match=message):
        open_store(azure.uri("a/cat.mp4"), given)
