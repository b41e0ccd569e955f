"""The pytest fixture `wisdomgate_sandbox`. Imports nothing but pytest until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_wisdomgate.sandbox.server import Sandbox


@pytest.fixture(scope="session")
def _wisdomgate_sandbox_server() -> Iterator[Sandbox]:
    try:
        from airflow_provider_wisdomgate.sandbox.server import Sandbox
    except ModuleNotFoundError as missing:
        remedy = "pip install 'airflow-provider-wisdomgate[sandbox]'"
        pytest.fail(f"the fixture wisdomgate_sandbox needs the sandbox extra ({missing}): {remedy}", pytrace=False)
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def wisdomgate_sandbox(_wisdomgate_sandbox_server: Sandbox) -> Sandbox:
    """A local gateway that has seen nothing yet: `.url`, `.api_key`, `.counts()`, `.videos()`, ..."""
    _wisdomgate_sandbox_server.reset()
    return _wisdomgate_sandbox_server
