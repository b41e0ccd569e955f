"""What a request carries over its attempts, how long sending it may take, and interrupting its answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from answers import TOLD
from scripted import Gateway, http, in_turn
from senders import Send, both_clients, error_of, send_sync
from support import QUICK, made, whole

from airflow_provider_wisdomgate.gateway import client as client_module
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.hooks import WisdomGateHook

CAT = whole()


def test_a_large_upload_may_take_longer_than_a_connect(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT", 0.4)
    gateway.pause = 0.01
    image = routes.Part("large.png", bytes(12 * 1024**2), "image/png")
    assert send_sync(WisdomGateHook(), routes.create_video("any", "a cat", {}, image)).id == "video_1"
    assert len(gateway.requests[0].body) > len(image.content)


@both_clients
def test_each_attempt_of_a_create_carries_the_same_idempotency_key_and_a_get_none(send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(429), http(429), http(200, TOLD))
    call = replace(routes.create_video("any", "a cat", {}), idempotency_key="claim-1")
    hook = WisdomGateHook()
    if send is send_sync:
        hook.client.send(call, QUICK)
    else:
        for _ in range(2):
            error_of(send, call)
        send(hook, call)
    send(hook, routes.get_video("video_1"))
    assert [request.headers.get("idempotency-key") for request in gateway.requests] == ["claim-1"] * 3 + [None]


def test_two_creates_of_a_hook_have_two_idempotency_keys(gateway: Gateway) -> None:
    hook = WisdomGateHook()
    hook.create_video("any", "a cat")
    hook.create_video("any", "a cat")
    hook.remix_video("video_1", "a dog")
    keys = {request.headers["idempotency-key"] for request in gateway.requests}
    assert [len(key) for key in keys] == [32] * 3


def test_to_interrupt_a_download_that_is_read_to_its_end_raises_nothing(hook: WisdomGateHook) -> None:
    with hook.open_content(made(hook)) as content:
        assert b"".join(content.chunks()) == CAT
        content.interrupt()
        hook.interrupt()
    content.interrupt()
    hook.interrupt()
