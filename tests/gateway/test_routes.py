"""What the gateway is asked: every route's call, and the dialects of a create."""

from __future__ import annotations

import hashlib
import json
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
ANOTHER = Part("dog.png", b"\x89PNG, too", "image/png")
URL = "https://images.example/cat.png?signature=0123"
DATA = "data:image/png;base64,iVBORw0KGgo="
OBJECT = {"image_url": URL}


def hash_of(reference: Part | str | Mapping[str, Any]) -> str:
    if isinstance(reference, Part):
        return hashlib.sha256(reference.content).hexdigest()
    text = reference if isinstance(reference, str) else json.dumps(reference)
    return hashlib.sha256(text.encode()).hexdigest()


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
    json: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    idempotent: bool = False,
    reference: Any = None,
) -> Call[Any]:
    several = [hash_of(each) for each in reference] if isinstance(reference, list) else reference and hash_of(reference)
    return Call(
        "POST",
        "/videos",
        parse_created,
        json=json,
        form=form,
        idempotent=idempotent,
        timeout=300.0,
        reference_sha256=several,
    )


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
        created(
            form={"model": "SORA-2-pro", "prompt": "a cat", "seconds": "4", "input_reference": IMAGE}, reference=IMAGE
        ),
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
        created(form={"model": "veo-9", "prompt": "a cat", "seconds": "8", "input_reference": IMAGE}, reference=IMAGE),
    ),
}


@pytest.mark.parametrize(("model", "options", "reference", "expected"), DIALECTS.values(), ids=DIALECTS.keys())
def test_a_create_speaks_its_models_dialect(
    model: str, options: dict[str, Any], reference: Part | None, expected: Call[Any]
) -> None:
    given_options = dict(options)
    assert routes.create_video(model, "a cat", options, reference) == expected
    assert options == given_options


BODY = {"model": "veo-9", "prompt": "a cat"}
SORA = {"model": "sora-2", "prompt": "a cat"}
SEEDANCE = {"model": "doubao-seedance-2", "prompt": "a cat"}
REFERENCES: dict[str, tuple[dict[str, str], Any, str | None, dict[str, Any]]] = {
    "a URL in JSON": (BODY, URL, None, {"json": BODY | {"input_reference": URL}}),
    "a data URL in JSON": (BODY, DATA, None, {"json": BODY | {"input_reference": DATA}}),
    "an object in JSON": (BODY, OBJECT, None, {"json": BODY | {"input_reference": OBJECT}}),
    "an object of Sora's": (SORA, OBJECT, None, {"json": SORA | {"input_reference": OBJECT}}),
    "several in JSON": (BODY, [URL, OBJECT], None, {"json": BODY | {"input_reference": [URL, OBJECT]}}),
    "a list of one": (BODY, [URL], "json", {"json": BODY | {"input_reference": [URL]}}),
    "several files": (SORA, [IMAGE, ANOTHER], None, {"form": SORA | {"input_reference": [IMAGE, ANOTHER]}}),
    "a file and a URL": (BODY, [IMAGE, URL], None, {"form": BODY | {"input_reference": [IMAGE, URL]}}),
    "a URL in a form": (BODY, URL, "form", {"form": BODY | {"input_reference": URL}}),
    "an object in a form": (BODY, OBJECT, "form", {"form": BODY | {"input_reference": json.dumps(OBJECT)}}),
    "one image of Seedance's": (SEEDANCE, URL, None, {"json": SEEDANCE | {"images": [URL], "mode": "i2v"}}),
    "several of Seedance's": (SEEDANCE, [URL, URL], None, {"json": SEEDANCE | {"images": [URL, URL], "mode": "r2v"}}),
}


@pytest.mark.parametrize(("body", "reference", "create_as", "sent"), REFERENCES.values(), ids=REFERENCES.keys())
def test_a_reference_is_sent_as_its_dialect_takes_it(
    body: dict[str, str], reference: Any, create_as: str | None, sent: dict[str, Any]
) -> None:
    call = routes.create_video(body["model"], body["prompt"], {}, reference, create_as=create_as)
    assert call == created(**sent, reference=reference)


@pytest.mark.parametrize("reference", [IMAGE, DATA, OBJECT, [URL, IMAGE]], ids=["file", "data", "object", "mixed"])
def test_seedance_takes_images_by_url_only(reference: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="takes images by URL"):
        routes.create_video("doubao-seedance-2", "a cat", {}, reference)


def test_seedances_images_come_from_one_place() -> None:
    with pytest.raises(errors.ConfigurationError, match="beside fields"):
        routes.create_video("doubao-seedance-2", "a cat", {"images": [URL]}, URL)


def test_a_size_of_digits_is_sent_as_text_and_seconds_as_given() -> None:
    call = routes.create_video("veo-9", "a cat", {"size": 720, "seconds": 8, "duration": 5})
    assert call == created(json=BODY | {"size": "720", "seconds": 8, "duration": 5})


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
        "input_reference: doubao-seedance-2 takes images by URL, not as a file, a data: URL or an object, and not "
        "beside fields['images']. Give an https URL, or fields={'mode': 'i2v', 'images': ['https://...']} instead."
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
