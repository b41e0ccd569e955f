"""Answers that come byte by byte, each byte well before the socket would give up: their time is over all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from scripted import Gateway, http, in_turn, scripted
from senders import Send, both_clients, error_of
from support import SHORT_SILENCE, tls_in_front_of

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.exchange import broke
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.wire import TOO_MANY_INTERIM
from airflow_provider_wisdomgate.hooks import WisdomGateHook

Connect = Callable[..., dict[str, Any]]

# At a byte each 20 ms, ten seconds and more: either in the head or in the body.
VIDEO = json.dumps({"id": "vid_1", "object": "video", "model": "any", "status": "queued"}).encode()
SLOW_HEAD = http(200, VIDEO, {"X-Filler": "." * 600})
SLOW_BODY = http(200, VIDEO + b" " * 600)
SLOW_CHUNKS = http(200, VIDEO + b" " * 600, framing="chunked")
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" * 30
DRIPS = {"head": SLOW_HEAD, "body": SLOW_BODY, "chunks": SLOW_CHUNKS, "interim answers": INTERIM}


@pytest.fixture(params=DRIPS.values(), ids=DRIPS.keys())
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


@both_clients
def test_a_poll_ends_when_its_time_is_over(send: Send, dripping: Gateway) -> None:
    error = error_of(send, routes.get_video("vid_1"))
    assert (type(error), error.message) == (errors.ConnectionBrokenError, broke("it took too long"))


def test_many_polls_that_drip_end_together_and_leave_the_others_alone(dripping: Gateway) -> None:
    async def polls() -> list[Any]:
        async with AsyncClient(replace(WisdomGateHook().settings, timeout=5.0)) as client:
            slow = replace(routes.get_video("vid_1"), timeout=SHORT_SILENCE)
            sent = [asyncio.create_task(client.send(slow, ONCE)) for _ in range(120)]  # more than connections
            ends = await asyncio.gather(*sent, return_exceptions=True)
            dripping.drip, dripping.answer = 0.0, lambda request: http(200, VIDEO)
            assert (await client.send(routes.get_video("vid_1"), ONCE)).id == "vid_1"
            return ends

    # A busy machine may not even connect so soon.
    assert {type(end) for end in asyncio.run(polls())} <= {errors.ConnectionBrokenError, errors.UnreachableError}


@both_clients
def test_interim_answers_in_a_flood_end_a_poll(send: Send, connect: Connect) -> None:
    with scripted(in_turn(b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000)) as gateway:
        connect(host=gateway.url)
        error = error_of(send, routes.get_video("vid_1"))
    assert (type(error), error.message) == (errors.ConnectionBrokenError, broke(TOO_MANY_INTERIM))


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
