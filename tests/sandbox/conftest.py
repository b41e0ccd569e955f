"""Fixtures of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(render_seconds=0.0) as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server
