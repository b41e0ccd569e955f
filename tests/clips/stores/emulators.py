"""GCS and Azure on loopback sockets, seen through clients that are not ours. ./scripts/test-stores installs them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
import requests
from s3_server import Proxy, proxy_before

BUCKET = "clips"
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

    def __init__(self, proxy: Proxy, url: str, log: Path) -> None:
        self.proxy, self.url, self.log = proxy, url, log
        extra = {"is_anonymous": True, "project": "films", "gcs.endpoint": proxy.url}
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

    def delete(self, name: str) -> None:
        self._call("DELETE", self._object(name))

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

    def delete(self, name: str) -> None:
        self.container.delete_blob(name)

    def content_type_of(self, name: str) -> str:
        kind: str = self.container.get_blob_client(name).get_blob_properties().content_settings.content_type
        return kind


class MemoryPlace:
    """A filesystem that Airflow knows and we do not: fsspec's own, in memory."""

    content_type = None  # it keeps none
    conn_id = "memory_kept"

    def __init__(self) -> None:
        from fsspec.implementations.memory import MemoryFileSystem

        self.fs = MemoryFileSystem()
        self.clear()

    def uri(self, name: str) -> str:
        return f"memory://{BUCKET}/{name}"

    def clear(self) -> None:
        self.fs.store.clear()
        self.fs.pseudo_dirs[:] = ["", f"/{BUCKET}"]

    def names(self) -> list[str]:
        return sorted(name.removeprefix(f"/{BUCKET}/") for name in self.fs.store)

    def read(self, name: str) -> bytes:
        data: bytes = self.fs.cat_file(f"/{BUCKET}/{name}")
        return data

    def write(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(f"/{BUCKET}/{name}", data)

    def delete(self, name: str) -> None:
        self.fs.rm_file(f"/{BUCKET}/{name}")

    def content_type_of(self, name: str) -> None:
        return None


class Generations:
    """What the emulator of GCS lacks: ``ifGenerationMatch``, as Google's documentation describes it."""

    REFUSAL = b'{"error": {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}}'

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, method: str, target: str, body: bytes) -> tuple[int, bytes] | None:
        path, _, query = target.partition("?")
        asked = parse_qs(query)
        if "ifGenerationMatch" not in asked:
            return None
        found = self.generation(self.name(path, asked, body))
        if found is None and not path.startswith("/upload/"):
            return None  # the emulator itself answers 404
        return None if asked["ifGenerationMatch"] == [found or "0"] else (412, self.REFUSAL)

    def name(self, path: str, asked: dict[str, list[str]], body: bytes) -> str:
        """Return the name of the object that a request concerns, as it stands in a path."""
        if not path.startswith("/upload/"):
            return path.partition("/o/")[2]
        if "upload_id" in asked:  # a chunk; the emulator's ids are bucket:name:time
            return quote(re.sub(rf"^{BUCKET}:|:\d{{4}}-\d\d-\d\d .*$", "", asked["upload_id"][0]), "")
        text = body[:10_000].decode(errors="replace")  # it begins with the metadata
        return quote(json.JSONDecoder().raw_decode(text, text.index("{"))[0]["name"], "")

    def generation(self, name: str) -> str | None:
        found = requests.get(f"{self.url}/storage/v1/b/{BUCKET}/o/{name}", timeout=30)
        return None if found.status_code == 404 else str(found.json()["generation"])


@contextmanager
def gcs_emulator(folder: Path) -> Iterator[GCSPlace]:
    if not (has("airflow.providers.google") and has("gcp_storage_emulator")):
        pytest.skip("needs the extra gcs and gcp-storage-emulator: ./scripts/test-stores")
    port, log = free_port(), folder / "log"
    url = f"http://127.0.0.1:{port}"
    options = ["--host", "127.0.0.1", "--port", str(port), "--in-memory", "--default-bucket", BUCKET]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", *options]
    with serving(command, port, log), proxy_before(url) as proxy:
        proxy.judge = Generations(url)
        yield GCSPlace(proxy, url, log)


@contextmanager
def azurite(folder: Path) -> Iterator[AzurePlace]:
    program = str(AZURITE) if AZURITE.exists() else shutil.which("azurite-blob")
    if not (has("airflow.providers.microsoft.azure") and program):
        pytest.skip("needs the extra azure and azurite: ./scripts/test-stores")
    port, log = free_port(), folder / "log"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"]
    with serving([program, *options, "--skipApiVersionCheck"], port, log):
        yield AzurePlace(f"http://127.0.0.1:{port}")
