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


JSON_CREATE = {"model": "any", "prompt": "a cat", "size": "64x48"}
GO = "json: cannot unmarshal {} into Go struct field TaskSubmitReq.{} of type string"
OPENAI = "Invalid type for '{}': expected a {}, but got an {} instead."
MISTYPED: dict[str, tuple[str, dict[str, Any], int, Any]] = {
    "new-api, seconds": (
        "new-api",
        {"seconds": 4},
        400,
        {"code": "invalid_json", "message": GO.format("number", "seconds"), "data": None},
    ),
    "new-api, an object": (
        "new-api",
        {"input_reference": {"image_url": "https://i.example/1.png"}},
        400,
        {"code": "invalid_json", "message": GO.format("object", "input_reference"), "data": None},
    ),
    "openai, seconds": (
        "openai",
        {"seconds": 4},
        400,
        {
            "error": {
                "message": OPENAI.format("seconds", "string", "integer"),
                "type": "invalid_request_error",
                "param": "seconds",
                "code": "invalid_type",
            }
        },
    ),
    "bifrost, seconds": (
        "bifrost",
        {"seconds": 4},
        400,
        {
            "is_bifrost_error": False,
            "status_code": 400,
            "error": {"message": "Invalid request format: mismatched type string with value number"},
        },
    ),
    "sglang, size": (
        "sglang",
        {"size": 720},
        422,
        {"detail": [{"loc": ["body", "size"], "msg": "Input should be a valid string", "type": "value_error"}]},
    ),
    "openrouter, duration": (
        "openrouter",
        {"duration": "4"},
        400,
        {"error": {"code": 400, "message": "duration: Invalid input: expected integer, received string"}},
    ),
    "merge, size": (
        "merge",
        {"size": ["768P"]},
        422,
        {"detail": [{"loc": ["body", "size"], "msg": "Input should be a valid string", "type": "value_error"}]},
    ),
}


@pytest.mark.parametrize(("dialect", "fields", "status", "body"), MISTYPED.values(), ids=MISTYPED.keys())
def test_a_field_of_another_type_is_refused_as_the_source_does(
    dialect: str, fields: dict[str, Any], status: int, body: dict[str, Any], start: Start
) -> None:
    sandbox = start(dialect)
    reply = call(sandbox, "POST", "/v1/videos", json=JSON_CREATE | fields)
    assert (reply.status_code, reply.json(), sandbox.videos()) == (status, body, [])


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [("sglang", {"seconds": 1}), ("sglang", {"seconds": "1"}), ("aisix", {"seconds": 1}), ("merge", {"seconds": 1})],
)
def test_a_type_that_the_source_takes_is_taken(dialect: str, fields: dict[str, Any], start: Start) -> None:
    assert call(start(dialect), "POST", "/v1/videos", json=JSON_CREATE | fields).ok


def test_openrouters_jobs_show_what_they_cost_and_where_the_clip_is(start: Start) -> None:
    sandbox = start("openrouter")
    assert sandbox.url.endswith("/api")
    reply = call(sandbox, "POST", "/v1/videos", json=JSON_CREATE | {"duration": 2, "seconds": 9})
    video_id = reply.json()["id"]
    address = f"{sandbox.url}/v1/videos/{video_id}/content?index=0"
    assert (reply.status_code, poll(sandbox, video_id).json()) == (
        202,
        {
            "id": video_id,
            "status": "completed",
            "polling_url": f"/api/v1/videos/{video_id}",
            "unsigned_urls": [address],
            "usage": {"cost": 0.2, "is_byok": False},
        },
    )
    failed = call(sandbox, "POST", "/v1/videos", json=JSON_CREATE | {"prompt": "a cat [sandbox: fail=boom]"}).json()
    assert poll(sandbox, failed["id"]).json()["error"] == "The video could not be made (boom)."


def test_merges_jobs_show_their_size_as_asked_and_the_final_cost(start: Start) -> None:
    sandbox = start("merge")
    fields = {"size": "48P", "seconds": 2, "prompt": "a cat [sandbox: render=60]"}
    reply = call(sandbox, "POST", "/v1/videos", json=JSON_CREATE | fields)
    assert (reply.status_code, reply.json()["status"], reply.json()["cost"]) == (202, "queued", None)
    done = call(sandbox, "POST", "/v1/videos", json=JSON_CREATE | fields | {"prompt": "a cat"}).json()["id"]
    told = poll(sandbox, done).json()
    assert (told["status"], told["size"], told["seconds"], told["cost"]) == ("completed", "48P", "2", 0.2)
    assert "prompt" not in told


@pytest.mark.parametrize("size", ["64*48", "48P", "4:3"])
def test_a_size_may_be_pixels_lines_or_a_ratio(size: str, start: Start) -> None:
    sandbox = start("wisdomgate")
    reply = call(sandbox, "POST", "/v1/videos", json=JSON_CREATE | {"size": size, "seconds": 1})
    assert (reply.json()["size"], content(sandbox, reply.json()["id"]).content[4:8]) == (size, b"ftyp")


def test_repeated_parts_of_a_form_are_a_list(start: Start) -> None:
    sandbox = start("openai")
    parts: list[Any] = [(name, (None, value)) for name, value in (JSON_CREATE | {"seconds": "1"}).items()]
    parts += [("input_reference", (f"{n}.png", bytes([n]), "image/png")) for n in (1, 2)]
    assert call(sandbox, "POST", "/v1/videos", files=parts).ok
    assert [part["filename"] for part in sandbox.videos()[0]["fields"]["input_reference"]] == ["1.png", "2.png"]
    parts.append(("input_reference", ("3.txt", b"x", "text/plain")))
    assert call(sandbox, "POST", "/v1/videos", files=parts).status_code == 400
