"""The key is searched for in all that can be read, through success and every fault."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from key_search import KEY, MARK, Net, Tasks, found, sync_and_async
from support import SHORT_SILENCE, SMALL, answering, asked

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.directives import FAULTS

# Without an answer, or with half of one: once is enough, ten in a row would be seconds.
SILENT = ("hang", "lost-hang", "slow", "stall", "drop")


def ways(tasks: Tasks, route: str, fault: str, made: Callable[[], str]) -> list[Any]:
    """Meet a fault of a route in every way, and return the ends."""
    directives = f"render=0 {route}={fault}"
    if route == "create":
        return [tasks.create(directives), tasks.generate(directives)]
    generated = [tasks.generate(directives), tasks.generate(directives, deferrable=True)]
    if route == "content":
        return [*generated, tasks.download(made())]
    sensed = [tasks.sense(made()), tasks.sense(made(), deferrable=True)]
    poll = routes.get_video(made())
    return [*generated, *sensed, tasks.end(lambda: WisdomGateHook().client.send(poll, ONCE))]


EVERY = [(route, fault.name) for fault in FAULTS for route in fault.routes]


@pytest.mark.parametrize(("route", "fault"), EVERY, ids=lambda value: value)
def test_no_fault_brings_the_key_to_light(
    route: str,
    fault: str,
    tasks: Tasks,
    net: Net,
    gateway: Sandbox,
    marked: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def made() -> str:
        hook = WisdomGateHook()
        return hook.create_video(prompt=asked(f"render=0 {route}={faults}"), **SMALL).id

    faults = f"{fault}x1" if fault in SILENT else fault
    if fault in SILENT:
        marked(extra={"timeout": SHORT_SILENCE})
    if route == "create" and fault in ("hang", "lost-hang", "slow"):  # a create has minutes: only as a single call
        call = routes.create_video("any", asked(f"create={faults}"), {"seconds": "1", "size": "64x48"})
        ends = [tasks.end(lambda: WisdomGateHook().client.send(replace(call, timeout=SHORT_SILENCE)))]
    else:
        ends = ways(tasks, route, faults, made)
    tasks.close(capfd)
    assert net.finds() == []
    assert gateway.counts()["unauthorized"] == 0  # it was sent
    assert [end for end in ends if isinstance(end, Exception) and not isinstance(end, AirflowException)] == []


def test_success_does_not_bring_the_key_to_light(
    tasks: Tasks, net: Net, gateway: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks.timeout = 60.0
    video_id = tasks.create("render=0")
    ends = [
        tasks.generate("render=0.05"),
        tasks.generate("render=0.05", deferrable=True),
        tasks.sense(tasks.create("render=0.05")),
        tasks.sense(tasks.create("render=0.05"), deferrable=True),
        tasks.sense(video_id, mode="reschedule"),
        tasks.download(video_id),
        *map(tasks.end, (WisdomGateHook().list_videos, WisdomGateHook().get_balance, WisdomGateHook().test_connection)),
        tasks.end(lambda: WisdomGateHook().remix_video(video_id, "a dog [sandbox: render=0]")),
        tasks.end(lambda: WisdomGateHook().delete_video(video_id)),
    ]
    assert [end for end in ends if isinstance(end, Exception)] == []
    tasks.close(capfd)
    assert net.finds() == []
    # The net hears our own log, urllib3's, and reads the manifests.
    said = "\n".join(net.pieces)
    assert all(word in said for word in ("is stored at", '"GET /v1/videos/', '"claim_id"', video_id))


@pytest.mark.parametrize("trouble", ["wrong key", "down", "burst"])
def test_no_trouble_of_the_whole_gateway_brings_the_key_to_light(
    trouble: str,
    tasks: Tasks,
    net: Net,
    gateway: Sandbox,
    marked: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    video_id = tasks.create("render=0")
    if trouble == "wrong key":
        marked(password=f"{KEY}wrong")
    elif trouble == "down":
        gateway.down(60)
    else:
        gateway.burst(403, 60)
    ends = [
        tasks.create("render=0"),
        tasks.generate("render=0", deferrable=True),
        tasks.sense(video_id),
        tasks.sense(video_id, deferrable=True),
        tasks.download(video_id),
    ]
    tasks.net.take(WisdomGateHook().test_connection())
    gateway.reset()
    tasks.close(capfd)
    assert [isinstance(end, Exception) for end in ends] == [True] * 5
    assert net.finds() == []


def test_the_net_catches_a_key_wherever_it_is_told(
    net: Net, tasks: Tasks, gateway: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails_in_ours(**fields: Any) -> None:
        with pytest.raises(errors.ConfigurationError) as caught:
            Settings.of("wisdomgate_default", None, None, "a-key", fields)
        net.take(caught.value)

    def chained() -> None:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            raise errors.StorageError("no word of it") from error

    ways: list[Callable[[], Any]] = [
        lambda: logging.getLogger("urllib3.connectionpool").debug("sent %r", KEY),
        lambda: logging.getLogger("airflow.task").info("a task says %s", KEY),
        lambda: WisdomGateHook().log.debug("a hook says %s", KEY),
        lambda: tasks.sense(KEY),
        lambda: fails_in_ours(timeout=KEY),
        lambda: tasks.end(chained),
        lambda: net.take({"password": KEY}),
        lambda: tasks.local.write("clip.mp4.json", KEY.encode()),
        lambda: print(KEY),
    ]
    for tell in ways:
        tell()
        tasks.close(capfd)
        assert net.finds() != []
        net.pieces.clear()
        net.local_variables.clear()
        for path in tasks.local.folder.glob("*"):
            path.unlink()


@pytest.mark.parametrize("key", ["1", "id", "EMPTY", "null"])
def test_a_placeholder_for_a_key_spoils_no_answer(key: str, tasks: Tasks, marked: Callable[..., None]) -> None:
    with Sandbox(key) as gateway:
        marked(host=gateway.url, password=key)
        made = tasks.generate("render=0")
        assert [made["video_id"]] == [video["id"] for video in gateway.videos()]


@pytest.mark.parametrize("quoted", ["{}", "{}!", "Bearer {}"])
def test_a_key_is_redacted_however_an_answer_spells_it(
    quoted: str, tasks: Tasks, net: Net, marked: Callable[..., None]
) -> None:
    in_json, in_url = KEY.replace("/", "\\/"), quote(KEY, safe="")
    escaped = [KEY.replace("+", plus) for plus in ("\\u002b", "\\u002B")]  # as .NET and Go write JSON
    for spelled in (KEY, in_json, in_url, *escaped):
        body = json.dumps({"error": {"message": "@"}}).replace("@", quoted.format(spelled)).encode()
        head = f"Content-Length: {len(body)}\r\nContent-Type: {KEY}\r\nX-Request-Id: {KEY}\r\nConnection: close"
        for status in ("401 No", "200 OK"):
            with answering(f"HTTP/1.1 {status}\r\n{head}\r\n\r\n".encode() + body) as port:
                marked(host=f"http://127.0.0.1:{port}")
                sync_and_async(tasks)
                tasks.create("render=0")
                tasks.download("video_1")
        with answering(f"HTTP/1.1 307 No\r\nLocation: /{spelled}\r\n{head}\r\n\r\n".encode() + body) as port:
            marked(host=f"http://127.0.0.1:{port}")
            tasks.create("render=0")
    assert found(MARK, net.pieces) == []
