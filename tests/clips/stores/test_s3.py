"""S3's own faults, between us and moto's server: lost answers, conflicts, servers that know no conditions, kills."""

from __future__ import annotations

import _thread
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from s3_server import Fault, Proxy, proxy_before
from support import S3Place

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import open_store, s3
from airflow_provider_wisdomgate.clips.stores.base import Store, Versioned

MIB = 1024**2
JSON = ".json"
SMALL, LARGE = 1000, 40 * MIB


@pytest.fixture
def proxy(_s3_url: str) -> Iterator[Proxy]:
    with proxy_before(_s3_url) as proxy:
        yield proxy


@pytest.fixture
def opened(s3: S3Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Store]:
    """Open the store of a key, behind the proxy; boto3 sends a request once, or as often as is said."""

    def opened(attempts: int = 1, key: str = "a/cat.mp4") -> Store:
        retries = {"config_kwargs": {"retries": {"total_max_attempts": attempts, "mode": "standard"}}}
        extra = {"endpoint_url": proxy.url, "region_name": "us-east-1", **retries}
        aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_PROXY", json.dumps(aws))
        return open_store(f"s3://aws_proxy@{s3.bucket}/{key}")

    return opened


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "CONFLICT_PAUSE", 0.0001)


def publish(store: Store, size: int) -> bool:
    over = store.clip()
    with store.partial_file() as file:
        file.write(os.urandom(size))
        return store.publish(file, "video/mp4", over=over, beside=(JSON, ""))


def uploads(place: S3Place) -> list[Any]:
    found: list[Any] = place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
    return found


# Answers that are lost


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_lost_answer_to_a_create_is_never_told_as_a_refusal_of_what_is_not_there(
    opened: Any, proxy: Proxy, attempts: int
) -> None:
    """With repeats by boto3 it is None although it was us, without them an error: who changes, reads back."""
    store = opened(attempts)
    proxy.faults.append(Fault("PUT", JSON, "cut"))
    if attempts == 1:
        with pytest.raises(BotoCoreError):
            store.create(JSON, b"mine")
    else:
        assert store.create(JSON, b"mine") is None
    found = store.read(JSON)
    assert found
    assert found.data == b"mine"
    version = store.replace(JSON, b"next", found.version)
    assert store.read(JSON) == Versioned(b"next", version)


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_lost_answer_to_a_delete_leaves_nothing(opened: Any, proxy: Proxy, s3: S3Place, attempts: int) -> None:
    store = opened(attempts)
    version = store.create(JSON, b"mine")
    proxy.faults.append(Fault("DELETE", JSON, "cut"))
    if attempts == 1:
        with pytest.raises(BotoCoreError):
            store.delete(JSON, version)
    else:
        assert not store.delete(JSON, version)
    assert s3.names() == []


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_clip_whose_publishing_was_not_answered_is_known_as_our_own(
    opened: Any, proxy: Proxy, s3: S3Place, size: int, attempts: int, over: bool
) -> None:
    if over:
        s3.write("a/cat.mp4", b"old")
    method, query = ("PUT", "") if size == SMALL else ("POST", "uploadId")
    proxy.faults.append(Fault(method, "cat.mp4", "cut", query=query))
    assert publish(opened(attempts), size)
    assert (len(s3.read("a/cat.mp4")), uploads(s3), proxy.faults[0].times) == (size, [], 0)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_clip_that_was_refused_is_an_error_and_leaves_nothing(
    opened: Any, proxy: Proxy, s3: S3Place, size: int
) -> None:
    proxy.faults.append(Fault("PUT", "cat.mp4", "403 AccessDenied", times=9))
    with pytest.raises(ClientError, match="AccessDenied"):
        publish(opened(), size)
    assert (s3.names(), uploads(s3)) == ([], [])


def test_a_part_whose_answer_was_lost_is_sent_again(opened: Any, proxy: Proxy, s3: S3Place) -> None:
    proxy.faults.append(Fault("PUT", "cat.mp4", "cut", times=2, query="partNumber"))
    assert publish(opened(3), LARGE)
    assert (len(s3.read("a/cat.mp4")), uploads(s3)) == (LARGE, [])


def test_who_may_not_list_a_bucket_may_store_in_it(opened: Any, proxy: Proxy, s3: S3Place) -> None:
    proxy.faults.append(Fault("GET", s3.bucket, "403 AccessDenied", times=9, query="list-type=2"))
    assert publish(opened(), SMALL)
    assert (len(s3.read("a/cat.mp4")), proxy.faults[0].times < 9) == (SMALL, True)


def test_a_clip_that_became_shorter_has_no_bytes_beyond_its_end(opened: Any, s3: S3Place) -> None:
    s3.write("a/cat.mp4", b"short")
    assert (opened().read_range(3, 9), opened().read_range(5, 9)) == (b"rt", b"")


# Conflicts: 409 says that another write was under way, and that nothing was done


def test_a_write_that_met_another_one_under_way_is_repeated(opened: Any, proxy: Proxy) -> None:
    store = opened()
    proxy.faults.append(Fault("PUT", JSON, "409 ConditionalRequestConflict", times=5))
    version = store.create(JSON, b"1")
    assert store.read(JSON) == Versioned(b"1", version)
    proxy.faults.append(Fault("PUT", JSON, "409 ConditionalRequestConflict", times=5))
    assert store.replace(JSON, b"2", version)


def test_a_conflict_without_end_is_an_error_in_the_end(opened: Any, proxy: Proxy) -> None:
    proxy.faults.append(Fault("PUT", JSON, "409 ConditionalRequestConflict", times=1000))
    with pytest.raises(ClientError, match="ConditionalRequestConflict"):
        opened().create(JSON, b"1")
    assert len([method for method, _ in proxy.asked if method == "PUT"]) == s3.CONFLICT_REPEATS + 1


def test_an_upload_in_parts_that_met_a_conflict_is_repeated_from_its_first_part(
    opened: Any, proxy: Proxy, s3: S3Place
) -> None:
    proxy.faults.append(Fault("POST", "cat.mp4", "409 ConditionalRequestConflict", times=2, query="uploadId"))
    assert publish(opened(), LARGE)
    assert (len(s3.read("a/cat.mp4")), uploads(s3)) == (LARGE, [])
    assert len([query for method, query in proxy.asked if method == "POST" and "uploads" in query]) == 3


# Servers that know no conditions


def test_a_server_that_ignores_conditions_is_seen_by_creating_twice(opened: Any, proxy: Proxy) -> None:
    proxy.deaf = True
    store = opened()
    assert store.create(JSON, b"1")
    assert store.create(JSON, b"1")
    assert store.replace(JSON, b"1", store.no_version)


def test_a_server_that_refuses_conditions_is_an_error_that_names_it_and_the_way_out(
    opened: Any, proxy: Proxy, s3: S3Place
) -> None:
    proxy.faults.append(Fault("PUT", JSON, "501 NotImplemented", times=1000))
    with pytest.raises(errors.StorageError, match=rf"s3://aws_proxy@{s3.bucket} knows no conditional writes") as raised:
        opened().create(JSON, b"1")
    assert "[wisdomgate] allow_unsafe_storage = True" in str(raised.value)


def test_where_it_is_allowed_such_a_server_is_read_and_compared_before_each_write(
    opened: Any, s3: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__ALLOW_UNSAFE_STORAGE", "True")
    store = opened()

    def refuse(params: Any, **_: Any) -> None:  # what such a server does with the header alone
        if {"If-Match", "If-None-Match"} & set(params["headers"]):
            raise ClientError(
                {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}},  # type: ignore[typeddict-item]
                "any",
            )

    store._client.meta.events.register("before-call.s3", refuse)
    assert store.weakness is None
    version = store.create(JSON, b"1")
    assert "no conditional writes" in str(store.weakness)
    assert store.create(JSON, b"2") is None
    assert store.replace(JSON, b"2", store.no_version) is None
    second = store.replace(JSON, b"2", version)
    assert not store.delete(JSON, version)
    assert store.delete(JSON, second)
    assert publish(store, SMALL)
    assert publish(store, LARGE)
    assert (s3.names(), len(s3.read("a/cat.mp4")), uploads(s3)) == (["a/cat.mp4"], LARGE, [])


# Kills, memory, clocks, addresses


def test_a_kill_in_the_middle_of_an_upload_leaves_nothing(opened: Any, proxy: Proxy, s3: S3Place) -> None:
    store = opened()

    def kill(method: str, target: str) -> None:
        if "partNumber" in target and next(asked) == 2:
            _thread.interrupt_main()

    proxy.on_request = kill
    # What a shell starts in the background ignores interrupts, and Python then sends itself none.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(5):  # Python drops an interrupt that comes while it collects garbage
            asked = iter(range(100))
            try:
                publish(store, 80 * MIB)
            except KeyboardInterrupt:
                break
            assert store.delete("", store.clip().version)
        else:
            pytest.fail("no interrupt arrived")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (s3.names(), uploads(s3)) == ([], [])


PUBLISHER = """
import resource, sys
from airflow_provider_wisdomgate.clips.stores import open_store

def publish(store, mib):
    with store.partial_file() as file:
        for _ in range(mib):
            file.write(bytes(1024**2))
        assert store.publish(file, "video/mp4", over=store.clip(), beside=(".json", ""))

store = open_store(sys.argv[1])
publish(store, 1)  # imports and first connections
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
publish(store, 256)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_clip_of_256_mib_is_published_with_at_most_64_mib_of_memory(s3: S3Place) -> None:
    command = [sys.executable, "-c", PUBLISHER, s3.uri("a/cat.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) <= 64 * 1024
    assert s3.client.head_object(Bucket=s3.bucket, Key="a/cat.mp4")["ContentLength"] == 256 * MIB


def test_the_age_is_told_by_the_stores_clock_alone(opened: Any, proxy: Proxy) -> None:
    store = opened()
    assert store.age(JSON) == 0.0
    store.create(JSON, b"1")
    proxy.date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < store.age(JSON) < 3700
    proxy.date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    assert store.age(JSON) == 0.0


def test_without_a_connection_boto3_finds_its_own_way(
    s3: S3Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    for name, value in {"ENDPOINT_URL": proxy.url, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert open_store(f"s3a://{s3.bucket}/cat.mp4").create(JSON, b"1")
    assert s3.names() == ["cat.mp4.json"]


@pytest.mark.parametrize("uri", ["s3://aws_default@bucket", "s3://aws_default@bucket/", "s3://aws_default@/cat.mp4"])
def test_a_uri_that_names_no_file_in_a_bucket_is_refused(uri: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="names no file in a bucket"):
        open_store(uri)


def test_who_keeps_clips_on_local_disk_imports_no_cloud() -> None:
    code = (
        "import sys; from airflow_provider_wisdomgate.clips.stores import open_store; open_store('/tmp/cat.mp4');"
        "print([name for name in ('boto3', 'google.cloud.storage', 'azure.storage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
