"""Sends a call once, with either client, for tests that hold for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.hooks import WisdomGateHook

Send = Callable[[WisdomGateHook, Call[Any]], Any]


def send_sync(hook: WisdomGateHook, call: Call[Any]) -> Any:
    return hook.client.send(call, ONCE)


def send_async(hook: WisdomGateHook, call: Call[Any]) -> Any:
    async def send() -> Any:
        async with AsyncClient(hook.settings) as client:
            return await client.send(call, ONCE)

    return asyncio.run(send())


both_clients = pytest.mark.parametrize("send", [send_sync, send_async], ids=["sync", "async"])


def error_of(send: Send, call: Call[Any]) -> errors.WisdomGateError:
    with pytest.raises(errors.WisdomGateError) as caught:
        send(WisdomGateHook(), call)
    return caught.value
