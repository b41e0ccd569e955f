"""Arguments of a create that cannot be sent: each is named before anything is asked or written."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.routes import check_create, check_text, seconds_text

EMPTY = [None, "", "  \n", b"cat", ["cat"], {"a": 1}, True, float("nan")]
OPTIONS_NOT: dict[str, tuple[Any, str]] = {
    "None": (None, "fields must be a dict with string keys, not None."),
    "a list": (["a"], "fields must be a dict with string keys, not ['a']."),
    "an int key": ({1: 2}, "fields must be a dict with string keys, not {1: 2}."),
    "a model": ({"model": "x"}, "fields repeats model, which has an argument of its own."),
    "both": ({"prompt": "x", "model": "y"}, "fields repeats model, prompt, which has an argument of its own."),
    "bytes": ({"a": b"x"}, "fields must hold plain JSON types: Object of type bytes is not JSON serializable."),
    "keys that cannot be sorted": (
        {"a": {1: 2, "b": 3}},
        "fields must hold plain JSON types: '<' not supported between instances of 'str' and 'int'.",
    ),
    "a set": ({"a": {1}}, "fields must hold plain JSON types: Object of type set is not JSON serializable."),
}
NO_TEXT = ["", "  ", ["1280x720"], {"w": 1}, True]
NOT_PRINTABLE = ["1280x720\n", "a\x00", "\x1b[2J", "9" * 101]
SECONDS = [0, -1, 1.5, "8s", "", " 8", "08", True, False, [8], "1\u0663", "8\n", 1_000_000, "eight", "8.5", "8.", "0.0"]
SAME_SECONDS = [8, 8.0, "8", "8.0", "8.00"]


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


@pytest.mark.parametrize("size", NO_TEXT, ids=repr)
def test_a_size_that_is_no_text_is_named(size: object) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", {"size": size})
    assert caught.value.message == f"size must be a non-empty string, not {size!r}."


@pytest.mark.parametrize("size", NOT_PRINTABLE, ids=repr)
def test_a_size_that_no_gateway_can_mean_is_named(size: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        check_create("m", "p", {"size": size})
    assert caught.value.message == (
        f"size must be at most 100 printable characters such as '1280x720', not {size[:100]!r}."
    )


@pytest.mark.parametrize("size", ["1080P", "768P", "832*480", "16:9", "1280x720 ", "1280\u00d7720", "4K", "auto", 720])
def test_a_size_is_free_text(size: object) -> None:
    check_create("m", "p", {"size": size})


@pytest.mark.parametrize("seconds", SAME_SECONDS, ids=repr)
def test_one_length_has_one_text(seconds: object) -> None:
    assert seconds_text(seconds) == "8"


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
    assert check_create("m", "p", options) == ("m", "p")


@pytest.mark.parametrize(("given", "text"), [(2026, "2026"), (1.5, "1.5"), (-7, "-7"), ("007", "007")], ids=repr)
def test_digits_that_became_a_number_are_text_again(given: object, text: str) -> None:
    assert check_create(given, given, {}) == (text, text)
    assert check_text("video_id", given, "remedy") == text


def test_a_good_name_comes_back_as_it_is() -> None:
    assert check_text("video_id", " v ", "remedy") == " v "
