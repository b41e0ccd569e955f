"""One object stops what takes time: a request before it is sent, and the sleep between two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted import http, in_turn, scripted

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.hooks import WisdomGateHook


class StopsAt(Control):
    """Stops at the given check."""

    def __init__(self, check: int) -> None:
        self.left = check

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise errors.StoppedError("Asked to stop")


@pytest.mark.parametrize(("checks", "sent"), [(0, 0), (1, 1), (3, 1)], ids=["before it", "in its pause", "later"])
def test_a_control_that_raises_sends_nothing_more(
    checks: int, sent: int, connect: Callable[..., dict[str, Any]]
) -> None:
    with scripted(in_turn(http(429, b"", {"Retry-After": "60"}))) as gateway:
        connect(host=gateway.url)
        with pytest.raises(errors.StoppedError):
            WisdomGateHook().send_create(routes.create_video("any", "a cat", {}), control=StopsAt(checks))
        assert len(gateway.requests) == sent
