"""The create and download operators, and the bad input that no operator sends."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator
from support import SHORT_SILENCE, LocalPlace, S3Place, asked, made, sha256, started, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate import operators
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import (
    WisdomGateBaseOperator,
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
)
from airflow_provider_wisdomgate.sandbox import Sandbox

Context = Callable[..., dict[str, Any]]
PNG = b"\x89PNG\r\n\x1a\nrest"
SMALL: dict[str, Any] = {"task_id": "clip", "model": "any", "prompt": "a cat", "seconds": 1, "size": "64x48"}


@pytest.mark.parametrize("operator", [getattr(operators, name) for name in operators.__all__])
def test_help_shows_every_argument_with_its_default(operator: Any) -> None:
    for base in operator.__mro__[: operator.__mro__.index(BaseOperator)]:
        if "__init__" not in vars(base):
            continue
        for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items():
            if name in ("self", "kwargs") or operator is WisdomGateBaseOperator:
                continue
            (text,) = re.findall(rf"^:param {name}: (?:.|\n )*", operator.__doc__, re.M)
            required = parameter.default is parameter.empty
            assert text.endswith(" Required." if required else f" Default: {parameter.default!r}.")


# Create


def test_create_returns_the_id_of_the_video_it_asked_for(hook: WisdomGateHook, sandbox: Sandbox, context: Any) -> None:
    video_id = WisdomGateCreateVideoOperator(**SMALL).execute(context())
    (video,) = sandbox.videos()
    assert (video_id, type(video_id), sandbox.counts()["create_requests"]) == (video["id"], str, 1)


@pytest.mark.parametrize(
    ("arguments", "sent", "kind"),
    [
        (
            {"model": "sora-2", "seconds": 4, "fields": {"remix": True, "seed": 7}},
            {"model": "sora-2", "prompt": "a cat", "seconds": "4", "size": "64x48", "remix": "true", "seed": "7"},
            "multipart/form-data",
        ),
        (
            {"model": "doubao-seedance-2", "seconds": "5", "fields": {"mode": "i2v", "images": ["https://x/y.png"]}},
            {
                "model": "doubao-seedance-2",
                "prompt": "a cat",
                "duration": 5,
                "size": "64x48",
                "mode": "i2v",
                "images": ["https://x/y.png"],
            },
            "application/json",
        ),
        (
            {"model": "any", "seconds": None, "fields": {"duration": 2, "unheard-of": {"deep": [1, None]}}},
            {"model": "any", "prompt": "a cat", "size": "64x48", "duration": 2, "unheard-of": {"deep": [1, None]}},
            "application/json",
        ),
    ],
    ids=["sora", "seedance", "any other"],
)
def test_each_models_dialect_reaches_the_gateway(
    arguments: dict[str, Any], sent: dict[str, Any], kind: str, hook: WisdomGateHook, sandbox: Sandbox, context: Any
) -> None:
    WisdomGateCreateVideoOperator(**{**SMALL, **arguments}).execute(context())
    assert sandbox.videos()[0]["fields"] == sent
    assert sandbox.requests()[0]["headers"]["content-type"].partition(";")[0] == kind


def test_a_reference_image_is_read_from_a_folder_or_a_bucket(
    place: LocalPlace | S3Place, hook: WisdomGateHook, sandbox: Sandbox, context: Any
) -> None:
    place.write("cat.png", PNG)
    WisdomGateCreateVideoOperator(**SMALL, input_reference=place.uri("cat.png")).execute(context())
    assert sandbox.videos()[0]["fields"]["input_reference"] == {
        "filename": "reference.png",
        "content_type": "image/png",
        "size": len(PNG),
        "sha256": sha256(PNG),
    }


def test_a_reference_image_may_be_a_path_object(
    local: LocalPlace, hook: WisdomGateHook, sandbox: Sandbox, context: Any
) -> None:
    local.write("cat.png", PNG)
    WisdomGateCreateVideoOperator(**SMALL, input_reference=local.folder / "cat.png").execute(context())
    assert sandbox.videos()[0]["fields"]["input_reference"]["sha256"] == sha256(PNG)


@pytest.mark.parametrize(("fault", "paid"), [("lost", 1), ("lost-504", 1), ("no-id", 1), ("drop", 0), ("502-html", 0)])
def test_a_lost_create_fails_for_good_and_is_not_sent_again(
    fault: str, paid: int, hook: WisdomGateHook, sandbox: Sandbox, context: Any
) -> None:
    operator = WisdomGateCreateVideoOperator(**{**SMALL, "prompt": asked(f"create={fault}")})
    with pytest.raises(errors.LostCreateError) as caught:
        operator.execute(context())
    counts = sandbox.counts()
    assert (isinstance(caught.value, AirflowFailException), counts["create_requests"], counts["creates"]) == (
        True,
        1,
        paid,
    )


def test_a_create_that_was_refused_for_want_of_a_channel_is_sent_again(
    hook: WisdomGateHook, sandbox: Sandbox, context: Any
) -> None:
    operator = WisdomGateCreateVideoOperator(**{**SMALL, "prompt": asked("create=no-channelx2")})
    assert operator.execute(context()) == sandbox.videos()[0]["id"]
    assert (sandbox.counts()["create_requests"], sandbox.counts()["creates"]) == (3, 1)


# Bad input

REQUEST_ROWS: list[tuple[dict[str, Any], str]] = [
    *(({"model": value}, "model") for value in ("", "  ", None, ["m"])),
    *(({"prompt": value}, "prompt") for value in ("", "\n", None, True, ["a cat"])),
    *(({"size": value}, "size") for value in ("", " ", "1280x720\n", "9" * 101, True, ["1280x720"])),
    *(({"seconds": value}, "seconds") for value in (0, -4, 4.5, "eight", "", True)),
    *(({"input_reference": value}, "input_reference") for value in ("", 5, "/no/such/image.png", "teapot://x/y.png")),
    *(({"input_reference": value}, "input_reference") for value in ([], {}, True, "data:", "https://", [["a"]])),
    ({"model": "doubao-seedance-2", "input_reference": "{image}"}, "input_reference"),
    *(({"fields": value}, "fields") for value in ("mode=i2v", [1], {1: "x"}, {"x": object()}, {"x": float("nan")})),
    *(({"fields": {name: "x"}}, "fields repeats") for name in ("model", "prompt", "seconds", "size")),
    ({"seconds": None, "fields": {"seconds": "eight"}}, "seconds"),
    ({"wisdomgate_conn_id": "empty"}, "API key"),
]
BAD_SIZES = (0, -1, "1 GB", None, True, float("nan"), float("inf"))
FLAGS = ("record_prompt", "delete_on_kill", "delete_after_download")
GENERATE_ROWS: list[tuple[dict[str, Any], str]] = [
    *(({"destination": value}, "destination") for value in ("", "clips/", "../cat.mp4", True)),
    ({"destination": "teapot://bucket/cat.mp4"}, "destination"),
    ({"destination": "file://clips/cat.mp4"}, "destination"),
    ({"destination": "s3:///cat.mp4"}, "destination"),
    ({"destination": "{file}/cat.mp4"}, "storage"),
    *(({"if_exists": value}, "if_exists") for value in ("maybe", None, True)),
    *(({"on_lost_create": value}, "on_lost_create") for value in ("maybe", None)),
    *(({"timeout": value}, "timeout") for value in (0, -1, "soon", None, True, float("inf"), float("nan"), 1e12)),
    *(({"poll_interval": value}, "poll_interval") for value in (0, -1, "often", True, float("inf"), 1e12)),
    *(({"max_bytes": value}, "max_bytes") for value in BAD_SIZES),
    *(({"min_balance": value}, "min_balance") for value in (-1, "10", True, float("nan"), float("inf"))),
    *(({flag: value}, flag) for flag in FLAGS for value in ("false", "", None)),
]
DOWNLOAD_ROWS: list[tuple[dict[str, Any], str]] = [
    *(({"video_id": value}, "video_id") for value in ("", " ", None, True)),
    *(({"destination": value}, "destination") for value in ("", "clips/", "../cat.mp4", ["cat.mp4"])),
    ({"destination": "{file}/cat.mp4"}, "storage"),
    *(({"if_exists": value}, "if_exists") for value in ("maybe", None)),
    *(({"max_bytes": value}, "max_bytes") for value in BAD_SIZES),
    ({"delete_after_download": "false"}, "delete_after_download"),
]
DOWNLOAD = {"task_id": "clip", "video_id": "video_1", "destination": "cat.mp4"}
BAD_INPUT = [
    *((WisdomGateCreateVideoOperator, SMALL, *row) for row in REQUEST_ROWS),
    *((WisdomGateGenerateVideoOperator, SMALL, *row) for row in [*REQUEST_ROWS, *GENERATE_ROWS]),
    *((WisdomGateDownloadVideoOperator, DOWNLOAD, *row) for row in DOWNLOAD_ROWS),
]


@pytest.mark.parametrize(
    ("operator", "good", "bad", "name"),
    BAD_INPUT,
    ids=[f"{operator.__name__[10:-13]}-{'-'.join(bad)}-{n}" for n, (operator, _, bad, _) in enumerate(BAD_INPUT)],
)
def test_bad_input_is_named_before_any_request_is_sent(
    operator: Any,
    good: dict[str, Any],
    bad: dict[str, Any],
    name: str,
    hook: WisdomGateHook,
    sandbox: Sandbox,
    context: Any,
    tmp_path: Path,
    connect: Callable[..., Any],
) -> None:
    connect("empty", password=None)
    paths = {"{file}": tmp_path / "file", "{image}": tmp_path / "image.png"}
    paths["{file}"].write_bytes(b"no folder")
    paths["{image}"].write_bytes(PNG)
    for argument, value in bad.items():
        for placeholder, path in paths.items():
            if isinstance(value, str) and value.startswith(placeholder):
                bad = {**bad, argument: value.replace(placeholder, str(path))}
    with pytest.raises((errors.ConfigurationError, errors.StorageError)) as caught:
        operator(**{**good, **bad}).execute(context())
    assert name in str(caught.value)
    is_free = operator is WisdomGateDownloadVideoOperator
    assert str(caught.value).endswith("This try sent no create, so it cost nothing.") != is_free
    assert sandbox.requests() == []
    assert not (tmp_path / "clips").exists()


def test_no_storage_path_anywhere_is_found_before_any_request(
    connect: Callable[..., Any], sandbox: Sandbox, context: Any
) -> None:
    connect(extra={"storage_path": None})
    for operator in (
        WisdomGateGenerateVideoOperator(**SMALL),
        WisdomGateDownloadVideoOperator(task_id="clip", video_id="video_1"),
    ):
        with pytest.raises(errors.ConfigurationError, match=r"\[wisdomgate\] storage_path"):
            operator.execute(context())
    assert sandbox.requests() == []


# Download


def test_download_returns_the_manifest_as_plain_json(
    place: LocalPlace | S3Place, hook: WisdomGateHook, sandbox: Sandbox, context: Any
) -> None:
    video_id = made(hook)
    operator = WisdomGateDownloadVideoOperator(task_id="clip", video_id=video_id, destination=place.uri("cat.mp4"))
    manifest = operator.execute(context())
    assert manifest == json.loads(json.dumps(manifest)) == json.loads(place.read("cat.mp4.json"))
    assert (place.read("cat.mp4"), manifest["sha256"], manifest["phase"]) == (whole(), sha256(whole()), "stored")
    assert manifest["made_by"] == {
        "dag_id": "dag",
        "run_id": "manual__2026-01-01T00:00:00+00:00",
        "task_id": "clip",
        "map_index": -1,
        "run_started": None,
        "max_tries": 0,
        "round": 0,
    }


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({}, "dag/manual__2026-01-01T00_00_00_00_00/clip.mp4"),
        ({"map_index": 3}, "dag/manual__2026-01-01T00_00_00_00_00/clip-3.mp4"),
        ({"dag_id": "..", "run_id": "a/../b", "task_id": "group.clip"}, "__/a_.._b/group.clip.mp4"),
    ],
)
def test_a_destination_left_out_is_made_of_the_task_instance(
    facts: dict[str, Any], path: str, hook: WisdomGateHook, tmp_path: Path, context: Any
) -> None:
    manifest = WisdomGateDownloadVideoOperator(task_id="clip", video_id=made(hook)).execute(context(**facts))
    assert manifest["uri"] == f"file://{tmp_path}/clips/{path}"
    assert Path(tmp_path, "clips", path).read_bytes() == whole()


def test_a_download_that_is_killed_while_it_waits_for_bytes_stops_and_leaves_nothing(
    connect: Callable[..., Any], hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, context: Any
) -> None:
    video_id = made(hook, "bytes=3000000 content=stall")
    connect(extra={"timeout": 100 * SHORT_SILENCE})
    operator = WisdomGateDownloadVideoOperator(task_id="clip", video_id=video_id, destination=local.uri("cat.mp4"))
    worker, ends = started(operator, context())
    while not any(part.stat().st_size for part in local.folder.glob("*.part")):
        worker.join(0.01)
        assert worker.is_alive()
    operator.on_kill()
    worker.join(10)
    assert [type(end) for end in ends] == [errors.StoppedError]
    assert local.names() == []
