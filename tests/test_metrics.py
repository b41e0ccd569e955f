"""Our counters reach the copy of Airflow's metrics that this process has set up, and never stop anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_wisdomgate import metrics

pytest.importorskip("airflow.sdk.observability.stats")  # Airflow 3.2+


class Counter:
    """A backend of Airflow's metrics that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def incr(self, stat: str, count: int = 1, **_: Any) -> None:
        self.told.append((stat, count))


class Broken:
    def incr(self, *_: Any, **__: Any) -> None:
        raise socket.gaierror("no such host")


def set_up(copy: str, factory: Any) -> None:
    """Do what an Airflow process does first: 3.3 with a function of the module, 3.2 with one of the class."""
    module = pytest.importorskip(copy)
    if hasattr(module, "initialize"):
        module.initialize(factory=factory, export_legacy_names=False)
    else:
        module.Stats.initialize(factory=factory)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    metrics._chosen.clear()
    yield
    metrics._chosen.clear()
    for name in metrics.COPIES:
        set_up(name, None)


@pytest.mark.parametrize("copy", metrics.COPIES)
def test_a_counter_arrives_once_in_the_copy_that_is_set_up(copy: str) -> None:
    backend = Counter()
    set_up(copy, lambda: backend)
    metrics.count("creates")
    metrics.count("downloaded_bytes", 300)
    assert backend.told == [("wisdomgate.creates", 1), ("wisdomgate.downloaded_bytes", 300)]


def test_where_both_are_set_up_a_counter_arrives_once() -> None:
    """A task's process is forked from a scheduler that has set up its own."""
    backends = [Counter(), Counter()]
    for name, backend in zip(metrics.COPIES, backends, strict=True):
        set_up(name, lambda backend=backend: backend)
    metrics.count("polls")
    assert [backend.told for backend in backends] == [[("wisdomgate.polls", 1)], []]


def test_metrics_that_are_off_or_broken_stop_nothing() -> None:
    metrics.count("polls")
    set_up(metrics.COPIES[0], Broken)
    metrics.count("polls")
