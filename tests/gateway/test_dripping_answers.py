"""Answers that come byte by byte, each byte well before the socket would give up: their time is over all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from scripted import Gateway, http, in_turn, scripted
from support import SHORT_SILENCE, tls_in_front_of

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.hooks import WisdomGateHook

Connect = Callable[..., dict[str, Any]]

# At a byte each 20 ms, ten seconds and more: either in the head or in the body.
VIDEO = json.dumps({"id": "vid_1", "object": "video", "model": "any", "status": "queued"}).encode()
SLOW_HEAD = http(200, VIDEO, {"X-Filler": "." * 600})
SLOW_BODY = http(200, VIDEO + b" " * 600)


@pytest.fixture(params=[SLOW_HEAD, SLOW_BODY], ids=["head", "body"])
def dripping(request: pytest.FixtureRequest, connect: Connect) -> Iterator[Gateway]:
    with scripted(lambda _: request.param) as gateway:
        gateway.drip = 0.02
        connect(host=gateway.url, extra={"timeout": SHORT_SILENCE})
        yield gateway


def test_a_create_is_lost_when_its_time_is_over(dripping: Gateway) -> None:
    call = replace(routes.create_video("any", "a cat", {}), timeout=SHORT_SILENCE)
    with pytest.raises(errors.LostCreateError):
        WisdomGateHook().client.send(call)
    assert len(dripping.requests) == 1


def test_a_create_over_tls_is_lost_likewise(dripping: Gateway, connect: Connect, ca_bundle: str) -> None:
    call = replace(routes.create_video("any", "a cat", {}), timeout=SHORT_SILENCE)
    with tls_in_front_of(dripping.url) as url:
        connect(host=url, extra={"verify": ca_bundle})
        with pytest.raises(errors.LostCreateError):
            WisdomGateHook().client.send(call)


def test_a_poll_of_the_hook_ends(dripping: Gateway) -> None:
    with pytest.raises(errors.ConnectionBrokenError):
        WisdomGateHook().client.send(routes.get_video("vid_1"), ONCE)


def test_a_clip_may_take_longer_and_the_next_answer_has_its_time_again(connect: Connect) -> None:
    clip = b"\x1aE\xdf\xa3" + b"webm" * 15
    long = http(200, clip, {"Content-Type": "video/webm"})
    with scripted(in_turn(long, SLOW_BODY)) as gateway:
        gateway.drip, gateway.drip_from = 0.02, long.index(b"\r\n\r\n") + 4
        connect(host=gateway.url, extra={"timeout": SHORT_SILENCE})
        client = WisdomGateHook().client
        with client.content("vid_1") as content:
            assert content.read_all(1000) == clip
        with pytest.raises(errors.ConnectionBrokenError):
            client.send(routes.get_video("vid_1"), ONCE)
