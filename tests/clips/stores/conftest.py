"""Every store that clips can be kept in, as a place that is seen through a client that is not ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from emulators import AzurePlace, GCSPlace, MemoryPlace, azurite, gcs_emulator


@pytest.fixture(scope="session")
def _gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSPlace]:
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as place:
        yield place


@pytest.fixture(scope="session")
def _azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzurePlace]:
    with azurite(tmp_path_factory.mktemp("azure")) as place:
        yield place


@pytest.fixture
def gcs(_gcs: GCSPlace, monkeypatch: pytest.MonkeyPatch) -> GCSPlace:
    monkeypatch.setenv("AIRFLOW_CONN_GCS_EMULATED", json.dumps(_gcs.connection))
    _gcs.clear()
    return _gcs


@pytest.fixture
def azure(_azure: AzurePlace, monkeypatch: pytest.MonkeyPatch) -> AzurePlace:
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_EMULATED", json.dumps(_azure.connection))
    _azure.clear()
    return _azure


@pytest.fixture
def memory() -> MemoryPlace:
    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach

    place = MemoryPlace()
    attach("memory", fs=place.fs)
    return place


@pytest.fixture(params=["local", "s3", "memory", "gcs", "azure"])
def any_place(request: pytest.FixtureRequest) -> Any:
    """Anywhere that clips can be kept."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["local", "s3", "gcs", "azure"])
def atomic_place(request: pytest.FixtureRequest) -> Any:
    """Where a condition is held to whoever else writes."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["s3", "memory", "gcs", "azure"])
def object_place(request: pytest.FixtureRequest) -> Any:
    """What holds a clip to ``over``; local files hold it to the manifest."""
    return request.getfixturevalue(request.param)
