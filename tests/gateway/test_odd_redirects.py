"""Odd addresses in a Location: both clients go to the same place, or end with the same typed error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from answers import TOLD
from scripted import Request, http, scripted
from senders import error_of, send_async, send_sync

from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.hooks import WisdomGateHook

POLL = routes.get_video("video_1")
NOWHERE = ["http://.", "http://./x", "http://a..b/", f"http://{'x' * 64}/", "http://[v1.x]/", "http://b\xfccher/"]


@pytest.mark.parametrize("location", NOWHERE, ids=ascii)
def test_a_location_without_a_host_is_the_same_error_in_both_clients(
    location: str, connect: Callable[..., Any], quick: None
) -> None:
    with scripted(lambda request: redirect(location.encode("latin-1"))) as gateway:
        connect(host=gateway.url)
        ends = [error_of(send, POLL).as_dict() for send in (send_sync, send_async)]
    assert ends[0] == ends[1]
    assert (ends[0]["error"], ends[0]["message"]) == (
        "UnexpectedReplyError",
        "The gateway redirects to an address that is not a URL.",
    )


@pytest.mark.parametrize("path", [b"/a b", "/\u00e9\u732b".encode(), b"/\xe9", b"/a%20b?x= y"], ids=ascii)
def test_a_location_with_raw_characters_is_followed_alike(
    path: bytes, connect: Callable[..., Any], quick: None
) -> None:
    def answer(request: Request) -> bytes:
        return redirect(path) if request.path.endswith("/video_1") else http(200, TOLD)

    with scripted(answer) as gateway:
        connect(host=gateway.url)
        videos = [send(WisdomGateHook(), POLL) for send in (send_sync, send_async)]
        asked = [request.path for request in gateway.requests if not request.path.endswith("/video_1")]
    assert videos[0] == videos[1]
    assert len(asked) == 2
    assert asked[0] == asked[1]


def redirect(location: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
