"""GCS and Azure as destinations, against emulators on loopback sockets. ./scripts/test-stores installs all it needs.

The GCS emulator (gcp-storage-emulator) ignores ``ifGenerationMatch`` and cannot cancel an upload, so what rests on
these two is proven only as far as the request that is sent; Azurite has all that is needed.
"""

from __future__ import annotations

import gc
import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.hooks import WisdomGateHook

BUCKET = "clips"
MIB = 1024**2
BLOCK = 16 * MIB
# Azurite's one account, the same in every installation.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE = Path(__file__).resolve().parents[3] / ".cache/azurite/node_modules/.bin/azurite-blob"


def has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: list[str], port: int, log: Path) -> Iterator[None]:
    with open(log, "wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    assert server.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            yield
        finally:
            server.terminate()


class GCSPlace:
    """A bucket, seen through GCS's JSON API."""

    conn_id = "gcs_emulated"

    def __init__(self, url: str, log: Path) -> None:
        self.url, self.log = url, log
        extra = {"is_anonymous": True, "project": "films", "gcs.endpoint": url}
        self.connection = {"conn_type": "google_cloud_platform", "extra": extra}

    def uri(self, name: str) -> str:
        return f"gs://{self.conn_id}@{BUCKET}/{name}"

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        response = requests.request(method, f"{self.url}{path}", timeout=30, **options)
        response.raise_for_status()
        return response

    def _object(self, name: str) -> str:
        return f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}"

    def clear(self) -> None:
        for name in self.names():
            self._call("DELETE", self._object(name))

    def names(self) -> list[str]:
        return sorted(each["name"] for each in self._call("GET", f"/storage/v1/b/{BUCKET}/o").json()["items"])

    def read(self, name: str) -> bytes:
        return self._call("GET", self._object(name), params={"alt": "media"}).content

    def write(self, name: str, data: bytes) -> None:
        self._call("POST", f"/upload/storage/v1/b/{BUCKET}/o", params={"uploadType": "media", "name": name}, data=data)

    def content_type_of(self, name: str) -> str:
        kind: str = self._call("GET", self._object(name)).json()["contentType"]
        return kind


class AzurePlace:
    """A container, seen through Azure's own client."""

    conn_id = "azure_emulated"

    def __init__(self, url: str) -> None:
        from azure.storage.blob import BlobServiceClient

        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY}"
        connection_string = f"{account};BlobEndpoint={url}/{ACCOUNT};"
        self.connection = {"conn_type": "azure_data_lake", "extra": {"connection_string": connection_string}}
        self.container = BlobServiceClient.from_connection_string(connection_string).get_container_client(BUCKET)
        self.container.create_container()

    def uri(self, name: str) -> str:
        return f"abfs://{self.conn_id}@{BUCKET}/{name}"

    def clear(self) -> None:
        for name in self.names():
            self.container.delete_blob(name)

    def names(self) -> list[str]:
        return sorted(self.container.list_blob_names())

    def read(self, name: str) -> bytes:
        data: bytes = self.container.download_blob(name).readall()
        return data

    def write(self, name: str, data: bytes) -> None:
        self.container.upload_blob(name, data, overwrite=True)

    def content_type_of(self, name: str) -> str:
        kind: str = self.container.get_blob_client(name).get_blob_properties().content_settings.content_type
        return kind


Place = GCSPlace | AzurePlace


@pytest.fixture(scope="session")
def _gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSPlace]:
    if not (has("airflow.providers.google") and has("gcsfs") and has("gcp_storage_emulator")):
        pytest.skip("needs the extra gcs and gcp-storage-emulator: ./scripts/test-stores")
    # Else gcsfs asks Google's gRPC control plane, which the emulator lacks, about the bucket's kind; for a minute.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    port, log = free_port(), tmp_path_factory.mktemp("gcs") / "log"
    options = ["--host", "127.0.0.1", "--port", str(port), "--in-memory", "--default-bucket", BUCKET]
    with serving([sys.executable, "-m", "gcp_storage_emulator", "start", *options], port, log):
        yield GCSPlace(f"http://127.0.0.1:{port}", log)


@pytest.fixture(scope="session")
def _azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzurePlace]:
    azurite = str(AZURITE) if AZURITE.exists() else shutil.which("azurite-blob")
    if not (has("airflow.providers.microsoft.azure") and has("adlfs") and azurite):
        pytest.skip("needs the extra azure and azurite: ./scripts/test-stores")
    port, log = free_port(), tmp_path_factory.mktemp("azure") / "log"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"]
    with serving([azurite, *options, "--skipApiVersionCheck"], port, log):
        yield AzurePlace(f"http://127.0.0.1:{port}")


def empty(place: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(f"AIRFLOW_CONN_{place.conn_id.upper()}", json.dumps(place.connection))
    place.clear()
    return place


@pytest.fixture
def gcs(_gcs: GCSPlace, monkeypatch: pytest.MonkeyPatch) -> GCSPlace:
    place: GCSPlace = empty(_gcs, monkeypatch)
    return place


@pytest.fixture
def azure(_azure: AzurePlace, monkeypatch: pytest.MonkeyPatch) -> AzurePlace:
    place: AzurePlace = empty(_azure, monkeypatch)
    return place


@pytest.fixture(params=["gcs", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    place: Place = request.getfixturevalue(request.param)
    return place


def claim(place: Place, number: int = 0) -> Manifest:
    return Manifest("creating", f"claim-{number}", place.uri("a/cat.mp4"), time.time())


def listed(place: Place) -> list[str]:
    """List the folder through Airflow, which fills the filesystem's own cache of listings."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return sorted(path.name for path in ObjectStoragePath(place.uri("a")).iterdir())


def test_nothing_there_reads_none(place: Place) -> None:
    target = Destination(place.uri("a/cat.mp4"))
    assert target.read() is None
    assert target.clip_size() is None


def test_a_claim_is_written_read_taken_over_and_released(place: Place) -> None:
    target = Destination(place.uri("a/cat.mp4"))
    first, second = claim(place, 1), claim(place, 2)
    assert target.claim(first, None)
    assert Destination(target.uri).read() == first
    assert place.names() == ["a/cat.mp4.json"]
    assert target.claim(second, first)
    assert not target.claim(claim(place, 3), first)
    assert target.read() == second
    target.release(second, first)
    assert target.read() == first
    target.release(first, None)
    assert place.names() == []
    target.release(first, None)  # deleting what is not there is no error


def test_azure_gives_a_claim_once(azure: AzurePlace) -> None:
    target = Destination(azure.uri("a/cat.mp4"))
    assert target.claim(claim(azure, 1), None)
    assert not target.claim(claim(azure, 2), None)
    found = target.read()
    assert found is not None
    assert found.claim_id == "claim-1"


@pytest.mark.parametrize("takes_over", [False, True])
def test_azure_gives_a_claim_to_one_of_eight_at_once(azure: AzurePlace, takes_over: bool) -> None:
    barrier = Barrier(8)
    old = replace(claim(azure, 99), phase="failed") if takes_over else None

    def try_to(number: int) -> bool:
        target, mine = Destination(azure.uri("a/cat.mp4")), claim(azure, number)
        barrier.wait()
        return target.claim(mine, old)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            azure.clear()
            if old:
                Destination(azure.uri("a/cat.mp4")).write(old)
            won = [number for number, it in enumerate(pool.map(try_to, range(8))) if it]
            found = Destination(azure.uri("a/cat.mp4")).read()
            assert found is not None
            assert [found.claim_id] == [f"claim-{number}" for number in won]


def test_gcs_is_asked_for_a_claim_only_where_nothing_is(gcs: GCSPlace) -> None:
    """The emulator grants it regardless: that GCS refuses, and gcsfs raises FileExistsError then, is not proven."""
    target = Destination(gcs.uri("a/cat.mp4"))

    def uploads() -> list[str]:
        return [line for line in gcs.log.read_text().splitlines() if line.startswith('"POST /upload/')]

    before = len(uploads())
    target.claim(claim(gcs), None)
    target.write(claim(gcs))
    asked, written = uploads()[before:]
    assert "ifGenerationMatch=0" in asked
    assert "ifGenerationMatch" not in written


def test_what_another_client_wrote_is_seen_at_once(place: Place) -> None:
    target = Destination(place.uri("a/cat.mp4"))
    manifest = target.write(claim(place))
    for size in (10, 100_000, 3):
        place.write("a/cat.mp4", bytes(size))
        manifest = replace(manifest, error={"message": "x" * size})
        place.write("a/cat.mp4.json", manifest.dump())
        assert target.clip_size() == size
        assert target.read() == manifest
        assert listed(place) == ["cat.mp4", "cat.mp4.json"]  # this listing is old in the next round
    place.clear()
    assert target.clip_size() is None
    assert target.read() is None


@pytest.mark.parametrize("size", [None, 1 * MIB, BLOCK, 40 * MIB])
@pytest.mark.parametrize("occupied", [False, True])
def test_a_clip_is_stored_whole(
    hook: WisdomGateHook, connection: dict[str, Any], place: Place, size: int | None, occupied: bool
) -> None:
    from support import made, sha256, whole

    if occupied:
        place.write("a/cat.mp4", bytes(50_000))
    video_id = made(hook, f"bytes={size}" if size else "")
    stored = hook.download_video(video_id, place.uri("a/cat.mp4"), if_exists="replace" if occupied else "skip")
    wanted = whole(size=size)
    assert place.names() == ["a/cat.mp4", "a/cat.mp4.json"]
    assert place.read("a/cat.mp4") == wanted
    assert place.content_type_of("a/cat.mp4") == "video/mp4"
    assert (stored.size, stored.sha256) == (len(wanted), sha256(wanted))
    assert Destination(place.uri("a/cat.mp4")).read() == stored
    assert Destination(place.uri("a/cat.mp4")).clip_size() == stored.size
    assert hook.download_video(video_id, place.uri("a/cat.mp4")) == stored  # nothing to do


class Stopped(BaseException):
    """What a killed task raises."""


def stop_after(calls: int) -> Callable[[], None]:
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise Stopped

    return check


class FailingPart(io.BytesIO):
    """A part that cannot be read to its end."""

    def __init__(self, size: int, readable: int) -> None:
        super().__init__(os.urandom(size))
        self.readable_bytes = readable

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.readable_bytes:
            raise Stopped
        return super().read(size)


@pytest.mark.parametrize("occupied", [False, True])
def test_nothing_is_published_of_a_download_that_stops(hook: WisdomGateHook, place: Place, occupied: bool) -> None:
    from support import made

    if occupied:
        place.write("a/cat.mp4", b"old")
    video_id = made(hook, f"bytes={40 * MIB}")
    with pytest.raises(Stopped):
        hook.download_video(video_id, place.uri("a/cat.mp4"), if_exists="replace", check=stop_after(10))
    assert place.names() == (["a/cat.mp4", "a/cat.mp4.json"] if occupied else ["a/cat.mp4.json"])
    assert not occupied or place.read("a/cat.mp4") == b"old"


@pytest.mark.parametrize(
    ("size", "readable", "old"), [(1000, 0, None), (1000, 0, b"old"), (40 * MIB, 20 * MIB, b"old")]
)
def test_nothing_is_published_when_publishing_stops(place: Place, size: int, readable: int, old: bytes | None) -> None:
    """Also where the store cannot cancel the upload, as the GCS emulator: gcsfs asks it for half a minute."""
    if old is not None:
        place.write("a/cat.mp4", old)
    with pytest.raises(Stopped):
        open_store(place.uri("a/cat.mp4")).publish(FailingPart(size, readable), "video/mp4")
    gc.collect()  # a file object's end may not publish it either
    time.sleep(0.5)
    assert place.names() == ([] if old is None else ["a/cat.mp4"])
    assert old is None or place.read("a/cat.mp4") == old


def test_a_bucket_that_is_not_there_is_found_by_the_claim(place: Place) -> None:
    target = Destination(place.uri("a/cat.mp4").replace(f"@{BUCKET}/", "@nowhere/"))
    with pytest.raises(errors.StorageError):
        target.claim(claim(place), None)


def test_names_with_blanks_and_letters_of_any_kind(place: Place) -> None:
    target = Destination(place.uri("a/Kätzchen 猫 100%.mp4"))
    mine = claim(place)
    assert target.claim(mine, None)
    assert place.names() == ["a/Kätzchen 猫 100%.mp4.json"]
    assert target.read() == mine
