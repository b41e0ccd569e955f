"""A clip's whole way through a gateway, as every gateway must carry it: a stand-in of the sandbox's, or a real one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support import TaskInstance, asked, fire, resume, sha256

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import (
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
)
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

ALL = {"list": "yes", "remix": "yes", "delete": "yes"}
NO_ROUTE = "VideoNotFoundError"
# How docs/gateways.md says that a connection must be set up, and what of list, remix and delete each offers.
SET_UP: dict[str, dict[str, str]] = {
    "vllm-omni": {"create_as": "form"},
    "bifrost": {"create_as": "json"},
    "aisix": {"create_as": "json"},
    "openrouter": {"create_as": "json"},
    "merge": {"create_as": "json"},
}
# How each is asked for a second of video, if not by `seconds`.
ASKED_BY: dict[str, dict[str, Any]] = {"openrouter": {"fields": {"duration": 1}}}
OFFERS = {
    "wisdomgate": ALL,
    "openai": ALL,
    "new-api": {**ALL, "list": NO_ROUTE, "delete": NO_ROUTE},
    "litellm": {**ALL, "list": "BadRequestError", "delete": "BadRequestError"},
    "sglang": {**ALL, "remix": "UnexpectedReplyError"},
    "vllm-omni": {**ALL, "remix": "BadRequestError"},
    "bifrost": {**ALL, "list": "BadRequestError"},
    "aisix": {"list": "UnexpectedReplyError", "remix": "UnexpectedReplyError", "delete": "UnexpectedReplyError"},
    "openrouter": {"list": NO_ROUTE, "remix": "BadRequestError", "delete": NO_ROUTE},
    "merge": {**ALL, "remix": "UnexpectedReplyError"},
}
LISTS_PROMPTS = {"wisdomgate", "openai", "vllm-omni"}
BRIEF: dict[str, Any] = {"timeout": 60.0, "poll_interval": 0.05}


def context() -> dict[str, Any]:
    """Make the context of a run that never was."""
    return {"ti": TaskInstance(run_id=uuid.uuid4().hex)}


def carry(model: str, folder: Path, asked_by: Mapping[str, Any] | None = None) -> str:
    """Take clips through the hook, the sensor and the operators, blocking and deferred; return the id of one."""
    clip = {"model": model, "prompt": asked("render=0.1"), "size": "64x48", **(asked_by or {"seconds": 1})}
    video_id = WisdomGateCreateVideoOperator(task_id="create", **clip).execute(context())
    for how in ({"deferrable": True}, {"mode": "poke"}):
        wait = WisdomGateVideoSensor(task_id="wait", video_id=video_id, timeout=60.0, poke_interval=0.05, **how)
        video = ended(wait, context())
        assert (video["id"], video["status"]) == (video_id, "completed")

    alone = str(folder / "alone.mp4")
    download = WisdomGateDownloadVideoOperator(task_id="fetch", video_id=video_id, destination=alone)
    assert_is_a_clip(download.execute(context()))
    assert WisdomGateHook().get_video(video_id).is_done

    made = {}
    for deferrable in (False, True):
        at = str(folder / f"{deferrable}.mp4")
        generate = WisdomGateGenerateVideoOperator(
            task_id="clip", destination=at, deferrable=deferrable, **clip, **BRIEF
        )
        run = context()
        made[deferrable] = ended(generate, run)
        assert_is_a_clip(made[deferrable])
        assert generate.execute(run) == made[deferrable], "a second try makes nothing anew"
    assert len({video_id, *(one["video_id"] for one in made.values())}) == 3
    return str(video_id)


def lose_a_create(prompt: str, folder: Path) -> Callable[[], dict[str, Any]]:
    """Run a task whose create is lost, and that will look for it; return its next try."""
    operator = WisdomGateGenerateVideoOperator(
        task_id="clip",
        model="any",
        prompt=prompt,
        seconds=1,
        size="64x48",
        destination=str(folder / "cat.mp4"),
        on_lost_create="find",
        **BRIEF,
    )
    run = context()
    with pytest.raises(errors.WisdomGateError, match="looks for it"):
        operator.execute(run)
    return lambda: operator.execute(run)


def ended(operator: Any, run: dict[str, Any]) -> Any:
    """Execute to the end, in the triggerer where it defers."""
    try:
        return operator.execute(run)
    except TaskDeferred as deferral:
        return resume(operator, deferral, fire(deferral), run)


def assert_is_a_clip(manifest: dict[str, Any]) -> None:
    json.dumps(manifest)
    body = Path(manifest["uri"].removeprefix("file://")).read_bytes()
    assert (manifest["duration"], manifest["width"], manifest["height"]) == (1.0, 64, 48)
    assert (manifest["size"], manifest["sha256"]) == (len(body), sha256(body))


def more(video_id: str) -> dict[str, str]:
    """Try what not every gateway offers; say of each call "yes", or the error's name."""
    hook, said = WisdomGateHook(), {}
    calls = {
        "list": lambda: [video.id for video in hook.list_videos()].index(video_id),
        "remix": lambda: hook.remix_video(video_id, asked("render=0", "a dog")),
        "delete": lambda: hook.delete_video(video_id),
    }
    for name, call in calls.items():
        try:
            call()
            said[name] = "yes"
        except (errors.WisdomGateError, ValueError) as error:  # ValueError: listed under another id
            said[name] = type(error).__name__
    return said
