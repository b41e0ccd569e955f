"""Portkey's gateway in front of the sandbox. It forwards our requests, and cannot hand on the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Gateway
from support import asked

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook


def test_a_create_that_portkey_forwards_and_answers_with_500_is_lost_and_never_sent_again(
    portkey: Gateway, connect: Callable[..., dict[str, Any]], quick: None
) -> None:
    routed = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{portkey.upstream.url}/v1"}
    connect(host=portkey.url, password=portkey.upstream.api_key, extra=routed)
    with pytest.raises(errors.LostCreateError):
        WisdomGateHook().create_video("any", asked("render=0"), seconds="1", size="64x48")
    assert portkey.upstream.counts()["creates"] == 1
