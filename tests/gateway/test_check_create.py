"""Arguments of a create that cannot be sent: each is named before anything is asked or written."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.routes import check_create, check_text

EMPTY = [None, "", "  \n", 5, b"cat", ["cat"], True]
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
