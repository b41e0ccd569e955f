"""Fixtures of this folder: a gateway that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from answers import TOLD
from scripted import Gateway, http, scripted

Connect = Callable[..., dict[str, Any]]


@pytest.fixture
def gateway(connect: Connect, quick: None) -> Iterator[Gateway]:
    """A gateway of this test's own, which the default connection leads to."""
    with scripted(lambda request: http(200, TOLD)) as gateway:
        connect(host=gateway.url)
        yield gateway
