"""What the gateway is asked: every route's call, the dialects of a create, and addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
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
from airflow_provider_wisdomgate.gateway.routes import Call, Part, check_create, check_text
from airflow_provider_wisdomgate.gateway.urls import next_hop, normal_base_url

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


@settings(deadline=None)
@given(st.text(min_size=1))
def test_an_id_is_one_segment_of_the_path_and_comes_back_whole(video_id: str) -> None:
    path = routes.get_video(video_id).path
    assert path.isascii()
    assert path.count("/") == 2
    assert (urlsplit(path).query, urlsplit(path).fragment) == ("", "")
    assert unquote(path.removeprefix("/videos/")) == video_id


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


# ------------------------------------------------------------------------------------------ bad input

EMPTY = [None, "", "  \n", 5, b"cat", ["cat"], True]
OPTIONS_NOT: dict[str, tuple[Any, str]] = {
    "None": (None, "fields must be a dict with string keys, not None."),
    "a list": (["a"], "fields must be a dict with string keys, not ['a']."),
    "an int key": ({1: 2}, "fields must be a dict with string keys, not {1: 2}."),
    "a model": ({"model": "x"}, "fields repeats model, which has an argument of its own."),
    "both": ({"prompt": "x", "model": "y"}, "fields repeats model, prompt, which has an argument of its own."),
    "bytes": ({"a": b"x"}, "fields must hold plain JSON types: Object of type bytes is not JSON serializable."),
    "a set": ({"a": {1}}, "fields must hold plain JSON types: Object of type set is not JSON serializable."),
}
SIZES = ["1280", "1280x", "x720", "1280*720", "1280X720", "0x720", "01x720", "1280x720 ", 1280, ["1280x720"], "", "9x9"]
SIZES += ["1280x720x3", "123456x720", "-1x720", "1280x72\uff10", True]
SECONDS = [0, -1, 1.5, 8.0, "8s", "", " 8", "08", True, False, [8], "1\u0663", "8\n", 1_000_000, "eight"]


@pytest.mark.parametrize("value", EMPTY, ids=repr)
@pytest.mark.parametrize("argument", ["model", "prompt"])
def test_a_model_or_prompt_that_is_no_text_is_named(argument: str, value: object) -> None:
    request: dict[str, Any] = {"model": "m", "prompt": "p", "options": {}} | {argument: value}
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create(**request)
    assert caught.value.message == f"{argument} must be a non-empty string, not {value!r}."
    assert caught.value.next_step


@pytest.mark.parametrize(("options", "message"), OPTIONS_NOT.values(), ids=OPTIONS_NOT.keys())
def test_fields_that_cannot_be_sent_are_named(options: Any, message: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", options)
    assert caught.value.message == message


def circle() -> dict[str, Any]:
    ring: dict[str, Any] = {}
    ring["a"] = ring
    return ring


def well(depth: int, wrap: Callable[[Any], Any]) -> Any:
    top: Any = {}
    for _ in range(depth - 1):
        top = wrap(top)
    return top


@pytest.mark.parametrize(
    "options",
    [{"a": float("nan")}, {"a": [float("inf")]}, circle(), MappingProxyType({"a": 1}), {"a": object()}],
    ids=["nan", "inf", "a circle", "no dict", "an object"],
)
def test_fields_that_are_no_json_are_named(options: Any) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", options)
    assert caught.value.message.startswith("fields must hold plain JSON types: ")


@pytest.mark.parametrize("depth", [101, 500, 5_000, 15_000, 100_000])
@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner], lambda inner: (inner,)])
def test_fields_that_are_nested_too_deep_are_refused_on_every_python(depth: int, wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", {"a": well(depth - 1, wrap)})
    assert caught.value.message == "fields may be nested at most 100 levels deep."


def test_fields_may_be_nested_a_hundred_deep() -> None:
    check_create("m", "p", {"a": well(99, lambda inner: [inner, {}]), "b": 1})


@pytest.mark.parametrize("size", SIZES, ids=repr)
def test_a_size_that_is_no_size_is_named(size: object) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", {"size": size})
    assert caught.value.message == f"size must be WIDTHxHEIGHT in pixels such as '1280x720', not {size!r}."


@pytest.mark.parametrize("seconds", SECONDS, ids=repr)
def test_seconds_that_are_no_whole_number_are_named(seconds: object) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", {"seconds": seconds})
    assert caught.value.message == f"seconds must be a whole number above 0 such as 8, not {seconds!r}."


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": None, "seconds": None},
        {"size": "1280x720", "seconds": 8},
        {"size": "64x48", "seconds": "12"},
        {"never_heard_of": {"a": [1, None, "x"]}, "n": 1.5},
    ],
    ids=repr,
)
def test_what_can_be_sent_is_let_through(options: dict[str, Any]) -> None:
    assert check_create("m", "p", options) is None  # type: ignore[func-returns-value]


def test_a_good_name_comes_back_as_it_is() -> None:
    assert check_text("video_id", " v ", "remedy") == " v "


# ------------------------------------------------------------------------------------------ base URLs

DEFAULT = f"{DEFAULT_BASE_URL}/v1"
BASE_URLS: dict[tuple[str | None, int | None], str] = {
    (None, None): DEFAULT,
    ("", None): DEFAULT,
    ("  ", None): DEFAULT,
    ("https://api.wisgate.ai", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/v1", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/v1/", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/v1//", None): "https://api.wisgate.ai/v1",
    (" https://api.wisgate.ai/v1\n", None): "https://api.wisgate.ai/v1",
    ("api.wisgate.ai", None): "https://api.wisgate.ai/v1",
    ("localhost:8000", None): "https://localhost:8000/v1",
    ("http://127.0.0.1:8000", None): "http://127.0.0.1:8000/v1",
    ("http://127.0.0.1", 8000): "http://127.0.0.1:8000/v1",
    ("http://127.0.0.1:9000", 8000): "http://127.0.0.1:9000/v1",
    ("http://[::1]:8000/", None): "http://[::1]:8000/v1",
    ("https://h.example/gateway", None): "https://h.example/gateway/v1",
    ("https://h.example/gateway/v1/", 443): "https://h.example:443/gateway/v1",
    ("HTTPS://h.example", None): "https://h.example/v1",
    ("http://h.example:", 8000): "http://h.example:8000/v1",
    ("https://h.example/v1?x=1#y", None): "https://h.example/v1",
}


@pytest.mark.parametrize(("host", "port", "url"), [(*k, v) for k, v in BASE_URLS.items()], ids=repr)
def test_a_host_becomes_the_address_that_paths_are_appended_to(host: str | None, port: int | None, url: str) -> None:
    assert normal_base_url(host, port) == url


BAD_HOSTS = ["ftp://h.example", "https://", "https:///v1", "://h", "file:///etc/passwd", "javascript://x", "//"]
BAD_HOSTS += ["http://[::1", "https://h.example:abc", "https://h.example:99999", "http://exam℀ple.com"]
BAD_HOSTS += ["https://user@h.example", "https://user:secret@h.example", "https://:secret@h.example"]


@pytest.mark.parametrize("port", [None, 80])
@pytest.mark.parametrize("host", BAD_HOSTS, ids=repr)
def test_a_host_that_is_no_address_is_a_clear_error(host: str, port: int | None) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        normal_base_url(host, port)
    assert caught.value.message.startswith("The connection's Base URL (host) ")
    assert caught.value.next_step == f"Use e.g. {DEFAULT_BASE_URL}."


@pytest.mark.parametrize("host", ["https://user:secret@h.example", "https://:secret@h.example"])
def test_a_password_in_a_host_is_not_repeated_in_the_error(host: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        normal_base_url(host)
    assert "secret" not in str(caught.value)


ADDRESSES = st.text(max_size=30) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "http://", "https://", "HTTP://", "ftp://", "//"]),
    st.sampled_from(["h", "h.example", "[::1]", "[::1", "u@h", "h:", "h h", "é", "127.0.0.1"]),
    st.sampled_from(["", ":80", ":0", ":x", ":99999", ":"]),
    st.lists(st.sampled_from(["/", "/v1", "/a", "v1", "?q", "#f", " ", "\\", "%2F", "//"]), max_size=4).map("".join),
)


@settings(deadline=None)
@example("http://[::1", None)
@given(ADDRESSES, st.none() | st.integers(0, 70_000))
def test_any_host_gives_one_stable_address_or_a_typed_error(host: str, port: int | None) -> None:
    try:
        url = normal_base_url(host, port)
    except errors.ConfigurationError:
        return
    assert url.endswith("/v1")
    assert url.startswith(("http://", "https://"))
    assert normal_base_url(url) == normal_base_url(url, port) == url


# ----------------------------------------------------------------------------------------- redirects

HERE = "https://gate.example/v1/videos/v/content"
HOPS: dict[str, tuple[str, str, tuple[str, bool]]] = {
    "relative": (HERE, "../w", ("https://gate.example/v1/videos/w", True)),
    "a path": (HERE, "/files/1.mp4?sig=a", ("https://gate.example/files/1.mp4?sig=a", True)),
    "no path": (HERE, "", (HERE, True)),
    "same origin": (HERE, "https://gate.example/x", ("https://gate.example/x", True)),
    "same origin, port written": (HERE, "https://gate.example:443/x", ("https://gate.example:443/x", True)),
    "same origin, other case": (HERE, "HTTPS://GATE.example/x", ("https://GATE.example/x", True)),
    "other host": (HERE, "https://cdn.example/x", ("https://cdn.example/x", False)),
    "other host, no scheme": (HERE, "//cdn.example/x", ("https://cdn.example/x", False)),
    "a subdomain": (HERE, "https://cdn.gate.example/x", ("https://cdn.gate.example/x", False)),
    "other port": (HERE, "https://gate.example:8443/x", ("https://gate.example:8443/x", False)),
    "http to https": ("http://gate.example/x", "https://gate.example/x", ("https://gate.example/x", True)),
    "http to https of another host": (
        "http://gate.example/x",
        "https://cdn.example/x",
        ("https://cdn.example/x", False),
    ),
    "http to https on other ports": (
        "http://gate.example:80/x",
        "https://gate.example:8443/x",
        ("https://gate.example:8443/x", False),
    ),
    "http on another port to https": (
        "http://gate.example:81/x",
        "https://gate.example/x",
        ("https://gate.example/x", False),
    ),
    "http to http": ("http://gate.example:80/x", "http://gate.example/y", ("http://gate.example/y", True)),
    "http to other port": ("http://127.0.0.1:1/x", "http://127.0.0.1:2/y", ("http://127.0.0.1:2/y", False)),
    "the host as a user": (HERE, "https://gate.example@evil.example/x", ("https://gate.example@evil.example/x", False)),
}


@pytest.mark.parametrize(("url", "location", "expected"), HOPS.values(), ids=HOPS.keys())
def test_a_redirect_leads_somewhere_and_only_the_same_origin_gets_the_key(
    url: str, location: str, expected: tuple[str, bool]
) -> None:
    assert next_hop(url, location) == expected


@pytest.mark.parametrize(
    "location",
    [
        "http://gate.example/x",
        "http://cdn.example/x",
        "ftp://gate.example/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://[::1/x",
        "https://gate.example:port/x",
        "https://gate.example:99999/x",
        "http://exam℀ple.com",
    ],
)
def test_a_redirect_that_leaves_https_or_is_no_address_is_refused(location: str) -> None:
    with pytest.raises(errors.UnexpectedReplyError):
        next_hop(HERE, location)


@pytest.mark.parametrize(
    "location",
    [
        # urlsplit reads the host after the "@", urllib3 the one before the backslash: the key would go there.
        "https://evil.example\\@gate.example/x",
        "https://evil.example\\@gate.example:443/x",
    ],
)
def test_an_address_that_two_readers_read_differently_never_gets_the_key(location: str) -> None:
    try:
        _, gets_the_key = next_hop(HERE, location)
    except errors.UnexpectedReplyError:
        return
    assert not gets_the_key


@settings(deadline=None)
@given(ADDRESSES)
def test_any_location_leads_to_http_or_to_a_typed_error(location: str) -> None:
    try:
        target, _ = next_hop(HERE, location)
    except errors.UnexpectedReplyError:
        return
    assert urlsplit(target).scheme == "https"


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
