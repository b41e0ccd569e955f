"""What the tests of the generate operator share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import LocalPlace, asked

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

Generate = Callable[..., WisdomGateGenerateVideoOperator]


@pytest.fixture
def generate(hook: WisdomGateHook, local: LocalPlace) -> Generate:
    """Make a generate operator for a small, quick clip; directives go into the prompt."""

    def make(directives: str = "render=0", text: str = "a cat", **arguments: Any) -> WisdomGateGenerateVideoOperator:
        quick: dict[str, Any] = {"timeout": 60.0, "poll_interval": 0.01, "destination": local.uri("cat.mp4")}
        return WisdomGateGenerateVideoOperator(
            task_id="clip",
            model="any",
            prompt=asked(directives, text),
            seconds=1,
            size="64x48",
            **{**quick, **arguments},
        )

    return make
