"""Small real stand-ins and helpers that several test modules share."""

from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import socket
import ssl
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import boto3
import trustme
from airflow.providers.common.compat.sdk import TaskDeferred

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # noqa: F401  (for tests of answers)
try:
    from airflow.sdk.module_loading import import_string
except ImportError:
    from airflow.utils.module_loading import import_string
try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:
    from airflow.exceptions import AirflowRescheduleException  # noqa: F401  # test_sensor takes it from here

from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination, Found, OvertakenError
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.sandbox.render import padded, render

# A Retry-After is waited for a blink.
QUICK = RetryPolicy(attempts=4, base=0.002, cap=0.2, rate_limited_base=0.002, longest_wait=0.02)
SMALL: dict[str, Any] = {"model": "any", "seconds": "1", "size": "64x48"}
# A short silence that still is long for a loopback server on a busy machine.
SHORT_SILENCE = 0.3
# Nobody's, until a connection names it.
AUTHORITY = trustme.CA()


@dataclass
class TaskInstance:
    """What operators and sensors ask of a task instance."""

    dag_id: str = "dag"
    run_id: str = "manual__2026-01-01T00:00:00+00:00"
    task_id: str = "clip"
    map_index: int = -1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    first_reschedule_date: datetime | None = None
    latest: ClassVar[TaskInstance]

    def __post_init__(self) -> None:
        TaskInstance.latest = self

    def get_first_reschedule_date(self, context: Mapping[str, Any]) -> datetime | None:
        return self.first_reschedule_date


class LocalPlace:
    """A folder."""

    content_type = None  # files have none

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def uri(self, name: str) -> str:
        return f"file://{self.folder}/{name}"

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)

    def delete(self, name: str) -> None:
        (self.folder / name).unlink()

    def content_type_of(self, name: str) -> str | None:
        return None


class S3Place:
    """A bucket."""

    def __init__(self, url: str) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        self.bucket = f"clips-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=self.bucket)

    def uri(self, name: str) -> str:
        return f"s3://aws_default@{self.bucket}/{name}"

    def names(self) -> list[str]:
        return sorted(each["Key"] for each in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ()))

    def read(self, name: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=name, Body=data)

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=name)

    def content_type_of(self, name: str) -> str | None:
        kind: str = self.client.head_object(Bucket=self.bucket, Key=name)["ContentType"]
        return kind


def asked(directives: str, text: str = "a cat") -> str:
    """Write a prompt that asks the sandbox for something."""
    return f"{text} [sandbox: {directives}]"


def made(hook: WisdomGateHook, directives: str = "", text: str = "a cat") -> str:
    """Create a video that is finished at once, and return its id."""
    prompt = asked(f"render=0 {directives}".strip(), text)
    return hook.create_video(SMALL["model"], prompt, seconds=SMALL["seconds"], size=SMALL["size"]).id


def whole(text: str = "a cat", size: int | None = None, container: str = "mp4") -> bytes:
    """Return the bytes that the sandbox renders for a text."""
    clip = padded(render(text, (64, 48), 1, container), size)
    return b"".join(clip.chunks(0, clip.size))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def told(error: BaseException) -> str:
    """Return everything an error says to anybody: message, repr, causes and traceback."""
    return "".join([*traceback.format_exception(error), repr(error), str(vars(error))])


def fire(deferred: TaskDeferred) -> Any:
    """Do what the triggerer does with a deferral: serialise, make the trigger again, take its first event."""
    name, arguments = deferred.trigger.serialize()
    trigger = import_string(name)(**json.loads(json.dumps(arguments)))

    async def first_event() -> Any:
        async for event in trigger.run():
            return event.payload

    return json.loads(json.dumps(asyncio.run(first_event())))


def resume(operator: Any, deferred: TaskDeferred, event: Any, context: Any) -> Any:
    """Go on with a deferred task in a new operator object, as Airflow does."""
    kwargs = json.loads(json.dumps(dict(deferred.kwargs or {})))
    return operator.resume_execution(deferred.method_name, {**kwargs, "event": event}, context)


def outlet_events() -> Any:
    """Make what a context holds as ``outlet_events``."""
    try:
        from airflow.sdk.execution_time.context import OutletEventAccessors
    except ImportError:
        from airflow.utils.context import OutletEventAccessors
    return OutletEventAccessors()


def alias_events(accessor: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return URI and extra of what became of an alias; Airflow 2 calls assets datasets."""
    if hasattr(accessor, "dataset_alias_events"):
        return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]
    return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]


def started(operator: Any, context: Any) -> tuple[threading.Thread, list[BaseException]]:
    """Execute an operator in a thread; the list gets what it ended with, if that was an error."""
    ends: list[BaseException] = []

    def work() -> None:
        try:
            operator.execute(context)
        except BaseException as end:
            ends.append(end)

    worker = threading.Thread(target=work)
    worker.start()
    return worker, ends


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def tls_in_front_of(url: str, *, asks_for_certificate: bool = False) -> Iterator[str]:
    """Serve a plain server over TLS, as 127.0.0.1 by a CA that nobody knows; yields the URL."""
    plain = urlsplit(url)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    if asks_for_certificate:
        AUTHORITY.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(plain.hostname, plain.port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    started: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        server, stop = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context), asyncio.Event()
        started.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    port, loop, stop = started.get(timeout=60)
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Serve one reply to whoever connects."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(reply)

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def put_manifest(manifest: Manifest) -> Manifest:
    """Write a manifest at its own place, whatever stands there."""
    Destination(manifest.uri).update(lambda found: manifest)
    return manifest


def is_swapped(found: Found | None, new: Manifest) -> bool:
    """Try one compare-and-swap at the new manifest's place."""
    try:
        Destination(new.uri).swap(found, new)
    except OvertakenError:
        return False
    return True


class StateStore(dict[str, Any]):
    """Airflow 3.3's task_state_store, as far as a task sees it."""

    set = dict.__setitem__

    def delete(self, key: str) -> None:
        self.pop(key, None)
