"""What the dialects say on the wire, to a plain HTTP client. How the provider fares: tests/gateway/test_dialects.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_calls import call, content, create, made, poll, whole_clip

from airflow_provider_wisdomgate.sandbox import Sandbox

Start = Callable[[str], Sandbox]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Sandbox] = []

    def start(dialect: str) -> Sandbox:
        running.append(Sandbox(dialect=dialect, render_seconds=0.0).start())
        return running[-1]

    yield start
    for sandbox in running:
        sandbox.stop()


@pytest.mark.parametrize(
    ("dialect", "status", "body"),
    [
        ("new-api", 400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        ("sglang", 404, {"detail": "Video with id 'nope' not found."}),
        ("vllm-omni", 404, {"error": {"message": "Video with id 'nope' not found.", "type": "Not Found", "code": 404}}),
    ],
)
def test_an_unknown_video_is_refused_in_the_dialects_shape(
    dialect: str, status: int, body: dict[str, Any], start: Start
) -> None:
    reply = poll(start(dialect), "nope")
    assert (reply.status_code, reply.json()) == (status, body)


def test_new_api_gives_both_ids_and_leaves_out_what_is_empty(start: Start) -> None:
    sandbox = start("new-api")
    video = create(sandbox, "a cat [sandbox: never]").json()
    assert video["id"] == video["task_id"]
    assert not {"error", "completed_at", "prompt"} & video.keys()
    assert poll(sandbox, video["id"]).json()["status"] == "in_progress"
    assert content(sandbox, video["id"]).json()["error"]["message"].startswith("Task is not completed yet")


def test_vllm_omni_polls_of_a_failed_video_have_an_errors_status(start: Start) -> None:
    sandbox = start("vllm-omni")
    fields = {"model": "any", "prompt": "a cat [sandbox: fail=boom]", "seconds": "1", "size": "64x48"}
    parts = {name: (None, value) for name, value in fields.items()}
    reply = poll(sandbox, call(sandbox, "POST", "/v1/videos", files=parts).json()["id"])
    assert (reply.status_code, reply.json()["status"], reply.json()["error"]["code"]) == (500, "failed", 500)


def test_litellm_labels_not_ready_as_a_video(start: Start) -> None:
    sandbox = start("litellm")
    reply = content(sandbox, made(sandbox, "a cat [sandbox: never]"))
    assert (reply.status_code, reply.headers["Content-Type"], reply.content[:1]) == (200, "video/mp4", b"{")


def test_aisix_sends_to_signed_storage(start: Start) -> None:
    sandbox = start("aisix")
    reply = content(sandbox, made(sandbox), allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"].startswith(f"{sandbox.storage_url}/signed/")) == (302, True)


def test_variants_are_pictures_where_the_gateway_heeds_them(start: Start) -> None:
    heeding, ignoring = start("openai"), start("new-api")
    video_id = made(heeding)
    seen = {
        variant: content(heeding, video_id, params={"variant": variant}).headers["Content-Type"]
        for variant in ("video", "thumbnail", "spritesheet")
    }
    assert seen == {"video": "video/mp4", "thumbnail": "image/webp", "spritesheet": "image/jpeg"}
    refused = content(heeding, video_id, params={"variant": "smell"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "variant")
    assert content(ignoring, made(ignoring), params={"variant": "thumbnail"}).content == whole_clip()
