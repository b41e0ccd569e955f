"""What others wrote: without the key, without the queries of URLs, and without a character that does anything."""

from __future__ import annotations

import base64
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.foreign import LONGEST, MAX_DEPTH, Redactor, printable, without_queries
from airflow_provider_wisdomgate.gateway.replies import Page
from airflow_provider_wisdomgate.gateway.video import Video

sys.path.append(str(Path(__file__).parent / "security"))
from spellings import Spellings, leaks

KEY = "sk-m4rk3rQ7fZ/%s+x=="
AWKWARD = [KEY, "12345678", "abc%41defghijk", "a&amp;bcdefg&#45;hijk", "&sol;&sol;xabcdefghi"]
AWKWARD += ["=41=42=43=44", "%%%%%%%%%", "ff" * 40]
REDACTOR = Redactor(KEY)


@pytest.mark.parametrize("seed", range(20))
def test_only_the_key_is_struck_out_of_a_text(seed: int) -> None:
    for number in range(100):
        spelled = Spellings(random.Random(f"{seed}.{number}")).text(KEY)
        redacted = REDACTOR.redact(f"Not \\n this: [{spelled}] 100%, caf\u00e9 \u0130 &amp; a=b")
        assert redacted.startswith("Not \\n this: [")
        assert redacted.endswith("] 100%, caf\u00e9 \u0130 &amp; a=b")
        assert not leaks("m4rk3r", redacted), (seed, number, spelled)


@pytest.mark.parametrize("key", AWKWARD)
def test_a_key_that_looks_like_an_escape_is_redacted(key: str) -> None:
    for number in range(50):
        spelled = Spellings(random.Random(number)).text(key)
        assert not leaks(key, Redactor(key).redact(f"a {spelled} b")), spelled


@pytest.mark.parametrize("seed", range(5))
def test_the_beginning_of_a_key_is_redacted_where_a_text_was_cut(seed: int) -> None:
    for number in range(200):
        dice = random.Random(f"{seed}.{number}")
        spelled = Spellings(dice).text(KEY)
        cut = f"{'x' * 20} {spelled[: dice.randrange(1, len(spelled))]}"
        for text in (f"{cut}...", f"{cut}… and more", f"a... {cut}...) b"):
            assert not leaks("sk-m4", REDACTOR.redact(text)), (seed, number, text)


CLEAN = ["video_0123456789abcdef", base64.b64encode(b"video/1+2").decode(), "%2F%2f &amp; \\u002d", "sk-", "a... b"]


@pytest.mark.parametrize("text", CLEAN)
def test_a_text_without_the_key_is_left_as_it_is(text: str) -> None:
    assert REDACTOR.redact(text) is text


def test_a_placeholder_is_no_key() -> None:
    assert Redactor("EMPTY").redact("EMPTY") == "EMPTY"


def test_a_text_is_searched_to_a_bound_and_cut_there() -> None:
    text = "\\" * LONGEST + KEY
    assert REDACTOR.redact(text) == "\\" * LONGEST + "..."
    assert REDACTOR.redact(f"{'x' * (LONGEST - 9)}{KEY}") == f"{'x' * (LONGEST - 9)}***..."


def test_values_are_redacted_and_a_clean_one_is_the_same_object() -> None:
    video = Video("video_1", "queued", model="any", progress=5.0)
    assert REDACTOR.redacted(video) is video
    assert REDACTOR.redacted(Page([video, Video(KEY, prompt=f"a\\n{KEY}...")], KEY)) == Page(
        [video, Video("***", prompt="a\\n***...")], "***"
    )
    assert REDACTOR.redacted({KEY: [{"a": KEY, "b": None, "c": 1.5}], "u": "https://h/p?q"}) == {
        "***": [{"a": "***", "b": None, "c": 1.5}],
        "u": "https://h/p",
    }


def test_a_value_that_is_nested_too_deep_ends_there() -> None:
    nested: Any = KEY
    for _ in range(900):
        nested = [nested]
    found, depth = REDACTOR.redacted({"a": nested})["a"], 1
    while isinstance(found, list):
        (found,), depth = found, depth + 1
    assert (found, depth) == ("(nested too deep to be shown)", MAX_DEPTH)


def test_causes_that_quote_the_key_are_cut_off_and_others_stay() -> None:
    def failed(said: str) -> errors.WisdomGateError:
        try:
            try:
                raise ValueError(said)
            except ValueError as cause:
                raise errors.ConnectionBrokenError(f"It broke: {said}") from cause
        except errors.WisdomGateError as error:
            REDACTOR.redact_error(error)
            return error

    leak, clean = failed(f"https://h/?sig=1 {KEY}"), failed("reset")
    assert (str(leak), leak.args, leak.__cause__, leak.__context__) == (
        "It broke: https://h/ ***.",
        ("It broke: https://h/ ***",),
        None,
        None,
    )
    assert (str(clean), repr(clean.__cause__)) == ("It broke: reset.", "ValueError('reset')")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://h.example/a?b=c#d, then", "see https://h.example/a then"),
        ("https:\\/\\/h\\/a\\u003fb=c", "https:\\/\\/h\\/a"),
        ("https%3A%2F%2Fh%2Fa%3Fb%3Dc", "https%3A%2F%2Fh%2Fa"),
        ("HTTP://h/a#b 'wss://h/?x'", "HTTP://h/a 'wss://h/'"),
        ("http://a?http://b?c", "http://a"),
        ("what? no #1", "what? no #1"),
    ],
)
def test_a_text_shows_no_query_of_a_url(text: str, shown: str) -> None:
    assert without_queries(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \U0001f468\u200d\U0001f467", "caf\u00e9 \U0001f468\u200d\U0001f467"),
        ("\x1b[2J\r\n\t\x9b\x7f", "\\x1b[2J\\r\\n\\t\\x9b\\x7f"),
        ("\u202egpm\u2066\u2028\u2029\ufeff\xad", "\\u202egpm\\u2066\\u2028\\u2029\\ufeff\\xad"),
        ("\ud83d \udcff", "\\ud83d \\udcff"),
        (None, "None"),
    ],
)
def test_no_character_of_a_printable_text_does_anything(text: Any, shown: str) -> None:
    assert printable(text) == shown
    assert printable("\n\x1b", keep="\n") == "\n\\x1b"
    assert str(errors.WisdomGateError("\x1b", code="\n")) == "\\x1b. (code \\n)"
