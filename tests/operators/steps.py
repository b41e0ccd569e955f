"""What tests of the durable operators do again and again: defer them, kill them, read what was written and paid."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support import LocalPlace, S3Place

from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Place = LocalPlace | S3Place
Generate = Callable[..., WisdomGateGenerateVideoOperator]


def deferred(operator: WisdomGateGenerateVideoOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(context)
    return deferral.value


def manifest_at(place: LocalPlace, name: str = "cat.mp4") -> Manifest:
    found = Destination(place.uri(name)).read()
    assert found is not None
    return found


def manifest_of(place: Place) -> dict[str, Any]:
    """Return what stands beside ``cat.mp4``, as it is written."""
    manifest: dict[str, Any] = json.loads(place.read("cat.mp4.json"))
    return manifest


def money(sandbox: Sandbox) -> tuple[int, int]:
    """Return how many creates were sent, and how many of them were paid."""
    counts = sandbox.counts()
    return counts["create_requests"], counts["creates"]


@contextmanager
def killed_at_the_first_poll(task: WisdomGateGenerateVideoOperator, sandbox: Sandbox) -> Iterator[None]:
    """Call ``on_kill`` as Airflow does on SIGTERM, from beside the running task."""

    def kill() -> None:
        while not sandbox.counts()["polls"]:
            time.sleep(0.005)
        task.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        killer.join()
