"""What the gateway is asked: every route's call, and the dialects of a create."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.replies import (
    parse_created,
    parse_nothing,
    parse_object,
    parse_page,
    parse_video,
    raise_content_error,
)
from airflow_provider_wisdomgate.gateway.routes import Call, Part

IMAGE = Part("cat.png", b"\x89PNG", "image/png")

# --------------------------------------------------------------------------------------------- routes

ODD_ID = "task/é=+ ?#%..&"
ODD_PATH = "/videos/task%2F%C3%A9%3D%2B%20%3F%23%25..%26"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (routes.get_video("video_1"), Call("GET", "/videos/video_1", parse_video, video_id="video_1")),
        (routes.get_video(ODD_ID), Call("GET", ODD_PATH, parse_video, video_id=ODD_ID)),
        (
            routes.get_content(ODD_ID),
            Call("GET", f"{ODD_PATH}/content", raise_content_error, video_id=ODD_ID, is_long=True),
        ),
        (routes.list_videos(), Call("GET", "/videos", parse_page)),
        (routes.list_videos("v 1&"), Call("GET", "/videos?after=v%201%26", parse_page)),
        (
            routes.remix_video(ODD_ID, "a dog"),
            Call("POST", f"{ODD_PATH}/remix", parse_created, json={"prompt": "a dog"}, idempotent=False, timeout=300.0),
        ),
        (routes.delete_video(ODD_ID), Call("DELETE", ODD_PATH, parse_nothing, video_id=ODD_ID)),
        (routes.get_balance(), Call("GET", "/users/me/balance", parse_object)),
        (routes.list_models(), Call("GET", "/models", parse_object)),
    ],
    ids=["get", "get, odd id", "content", "list", "list, next page", "remix", "delete", "balance", "models"],
)
def test_a_route_is_one_call(call: Call[Any], expected: Call[Any]) -> None:
    assert call == expected


DOTS = (".", "..")


@settings(deadline=None)
@given(st.text(min_size=1).filter(lambda video_id: video_id not in DOTS))
def test_an_id_is_one_segment_of_the_path_and_comes_back_whole(video_id: str) -> None:
    path = routes.get_video(video_id).path
    assert path.isascii()
    assert path.count("/") == 2
    assert (urlsplit(path).query, urlsplit(path).fragment) == ("", "")
    assert unquote(path.removeprefix("/videos/")) == video_id


@pytest.mark.parametrize("video_id", DOTS)
def test_an_id_that_would_lead_to_another_route_is_refused(video_id: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="is no id"):
        routes.delete_video(video_id)


# ------------------------------------------------------------------------------------------- dialects


def created(
    json: Mapping[str, Any] | None = None, form: Mapping[str, Any] | None = None, idempotent: bool = False
) -> Call[Any]:
    return Call("POST", "/videos", parse_created, json=json, form=form, idempotent=idempotent, timeout=300.0)


DIALECTS: dict[str, tuple[str, dict[str, Any], Part | None, Call[Any]]] = {
    "sora: multipart of strings": (
        "sora-2",
        {"seconds": 8, "size": "720x1280", "hd": True, "n": 1.5, "tags": ["a"], "left_out": None, "text": "8"},
        None,
        created(
            form={
                "model": "sora-2",
                "prompt": "a cat",
                "seconds": "8",
                "size": "720x1280",
                "hd": "true",
                "n": "1.5",
                "tags": '["a"]',
                "text": "8",
            }
        ),
    ),
    "sora with a file": (
        "SORA-2-pro",
        {"seconds": "4"},
        IMAGE,
        created(form={"model": "SORA-2-pro", "prompt": "a cat", "seconds": "4", "input_reference": IMAGE}),
    ),
    "seedance: an integer duration": (
        "doubao-seedance-2",
        {"seconds": "10", "size": "1280x720", "images": ["https://i.example/1.png"], "mode": None},
        None,
        created(
            json={
                "model": "doubao-seedance-2",
                "prompt": "a cat",
                "duration": 10,
                "size": "1280x720",
                "images": ["https://i.example/1.png"],
            }
        ),
    ),
    "seedance with a duration of the caller's": (
        "Doubao-Seedance-2-fast",
        {"seconds": 5, "duration": 7},
        None,
        created(json={"model": "Doubao-Seedance-2-fast", "prompt": "a cat", "duration": 7}),
    ),
    "everything else: as given": (
        "veo-9",
        {"seconds": 8, "aspect": "16:9", "nested": {"a": [1, None]}, "left_out": None},
        None,
        created(
            json={
                "model": "veo-9",
                "prompt": "a cat",
                "seconds": 8,
                "aspect": "16:9",
                "nested": {"a": [1, None]},
            }
        ),
    ),
    "everything else with a file: multipart": (
        "veo-9",
        {"seconds": 8},
        IMAGE,
        created(form={"model": "veo-9", "prompt": "a cat", "seconds": "8", "input_reference": IMAGE}),
    ),
}


@pytest.mark.parametrize(("model", "options", "reference", "expected"), DIALECTS.values(), ids=DIALECTS.keys())
def test_a_create_speaks_its_models_dialect(
    model: str, options: dict[str, Any], reference: Part | None, expected: Call[Any]
) -> None:
    given_options = dict(options)
    assert routes.create_video(model, "a cat", options, reference) == expected
    assert options == given_options


@pytest.mark.parametrize(
    ("model", "create_as", "expected"),
    {
        "any model as a form": ("veo-9", "form", created(form={"model": "veo-9", "prompt": "a cat", "seconds": "8"})),
        "sora as JSON": ("sora-2", "json", created(json={"model": "sora-2", "prompt": "a cat", "seconds": "8"})),
        "seedance as a form": (
            "doubao-seedance-2",
            "form",
            created(form={"model": "doubao-seedance-2", "prompt": "a cat", "duration": "8"}),
        ),
    }.values(),
)
def test_a_create_goes_in_the_encoding_that_the_connection_asks_for(
    model: str, create_as: str, expected: Call[Any]
) -> None:
    assert routes.create_video(model, "a cat", {"seconds": "8"}, create_as=create_as) == expected


def test_a_create_as_json_takes_no_file_and_says_so() -> None:
    with pytest.raises(errors.ConfigurationError, match="create_as"):
        routes.create_video("sora-2", "a cat", {}, IMAGE, create_as="json")


def test_a_create_is_repeatable_only_when_somebody_says_so() -> None:
    free = routes.create_video("veo-9", "a cat", {}, idempotent=True)
    assert free == created(json={"model": "veo-9", "prompt": "a cat"}, idempotent=True)


def test_seedance_takes_no_file_and_says_what_to_do_instead() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        routes.create_video("doubao-seedance-2", "a cat", {}, IMAGE)
    assert str(caught.value) == (
        "input_reference: doubao-seedance-2 takes images by URL, not as a file. "
        "Give fields={'mode': 'i2v', 'images': ['https://...']} instead."
    )


def test_neither_prompt_nor_picture_shows_in_a_calls_repr() -> None:
    shown = repr(routes.create_video("sora-2", "a secret cat", {}, IMAGE)) + repr(
        routes.remix_video("v", "a secret cat")
    )
    assert "secret" not in shown
    assert "PNG" not in shown


def test_only_a_request_that_takes_long_to_send_gives_its_claim_more_time() -> None:
    image = routes.Part("cat.png", b"", "image/png")
    short = {
        routes.longest_attempt(routes.create_video(model, "a cat", {"seconds": 4})) for model in ("sora-2", "any model")
    }
    large = {
        routes.longest_attempt(routes.create_video("sora-2", "a cat", {}, image)),
        routes.longest_attempt(routes.create_video("any model", "a cat", {"images": ["x" * 60_000]})),
    }
    assert (short, large) == ({310.0}, {610.0})
