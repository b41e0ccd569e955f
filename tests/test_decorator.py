"""What a function of ``@task.wisdomgate_video`` returns is data: it reaches the gateway byte for byte or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from support import LocalPlace

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.decorators import wisdomgate_video_task
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Context = Callable[..., dict[str, Any]]
SHAPE = {"seconds": "1", "size": "64x48"}
TEXTS = {
    "the connection's key": "{{ conn.wisdomgate_default.password }}",
    "an expression": "{{ 7 * 7 }}",
    "a statement": "{% for one in [1, 2] %}cat{% endfor %}",
    "half a statement": "{% for",
    "a comment": "a cat {# with a hat #}",
    "half a comment": "100% {# wool",
    "100 KB": "ä cat. " * 14_300,
    "emoji": "👩‍👩‍👧‍👦 and 🐈‍⬛ at ☕",
    "NUL": "a\0cat",
    "line ends": "a\r\ncat\n\n",
    "a template's name": "cat.sql",
}


def decorated(answer: Any, local: LocalPlace, model: str = "any") -> WisdomGateGenerateVideoOperator:
    def describe() -> Any:
        return answer

    with DAG("decorated", schedule=None):
        arguments = {"poll_interval": 0.02, "destination": local.uri("cat.mp4"), "model": model, **SHAPE}
        return wisdomgate_video_task(**arguments)(describe)().operator


@pytest.mark.parametrize("model", ["any", "sora-2"], ids=["JSON", "multipart"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_returned_prompt_reaches_the_gateway_byte_for_byte(
    text: str, model: str, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, context: Context
) -> None:
    clip = decorated(text, local, model).execute(context())
    assert [video["fields"]["prompt"] for video in sandbox.videos()] == [text]
    assert clip["request"]["prompt"] == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_returned_field_reaches_the_gateway_byte_for_byte(
    text: str, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, context: Context
) -> None:
    decorated({"prompt": "a cat", "mood": text}, local).execute(context())
    assert [video["fields"]["mood"] for video in sandbox.videos()] == [text]


@pytest.mark.parametrize("answer", ["a \ud83d cat", {"prompt": "a cat", "mood": "\ude00"}], ids=["prompt", "field"])
def test_half_a_character_is_refused_before_the_claim(
    answer: Any, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, context: Context
) -> None:
    with pytest.raises(errors.ConfigurationError, match="half a character"):
        decorated(answer, local).execute(context())
    assert (local.names(), sandbox.counts()["create_requests"]) == ([], 0)
