"""Arguments as DAGs give them: digits that became numbers, references of every kind, a Base URL with a query."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import DAG
from airflow.serialization.helpers import serialize_template_field
from scripted import Gateway, http, scripted
from steps import Generate, deferred
from support import LocalPlace, fire, resume, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import (
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
    WisdomGateRemixVideoOperator,
)
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

Connect = Callable[..., dict[str, Any]]


@pytest.fixture
def gateway(connect: Connect, quick: None) -> Iterator[Gateway]:
    """A gateway that shows the bytes of a create."""
    with scripted(lambda request: TOLD) as gateway:
        connect(host=gateway.url)
        yield gateway


TOLD = http(200, json.dumps({"id": "video_1", "object": "video", "status": "queued"}).encode())
URL = "https://images.example/cat.png?signature=of-a-cat"
DATA = "data:image/png;base64,iVBORw0KGgo="
PNG = b"\x89PNG\r\n\x1a\nrest"

# ----------------------------------------------------------------------------------------- digits

TEMPLATES: dict[type[Any], dict[str, str]] = {
    WisdomGateCreateVideoOperator: {"model": "{{ 1 }}", "prompt": "{{ 2026 }}", "size": "{{ 720 }}"},
    WisdomGateGenerateVideoOperator: {"model": "{{ 1 }}", "prompt": "{{ 1.5 }}", "destination": "{{ 7 }}"},
    WisdomGateRemixVideoOperator: {"video_id": "{{ 123456 }}", "prompt": "{{ 2 }}", "wisdomgate_conn_id": "{{ 5 }}"},
    WisdomGateDownloadVideoOperator: {"video_id": "{{ 123456 }}", "destination": "{{ 7 }}"},
    WisdomGateVideoSensor: {"video_id": "{{ 123456 }}", "wisdomgate_conn_id": "{{ 5 }}"},
}
TEXT = {"{{ 1 }}": "1", "{{ 1.5 }}": "1.5", "{{ 2 }}": "2", "{{ 5 }}": "5", "{{ 7 }}": "7"}
TEXT |= {"{{ 2026 }}": "2026", "{{ 123456 }}": "123456", "{{ 720 }}": "720"}


@pytest.mark.parametrize("operator", TEMPLATES, ids=lambda operator: operator.__name__)
def test_native_rendering_leaves_texts_texts(operator: type[Any]) -> None:
    templates = TEMPLATES[operator]
    with DAG("digits", render_template_as_native_obj=True):
        task = operator(task_id="clip", **templates)
    task.render_template_fields({})
    rendered = {name: getattr(task, name) for name in templates}
    assert {name: str(value) for name, value in rendered.items()} == {n: TEXT[t] for n, t in templates.items()}
    assert {name for name, value in rendered.items() if not isinstance(value, str)} <= {"size"}


def test_digits_are_sent_and_recorded_as_text(gateway: Gateway) -> None:
    hook = WisdomGateHook()
    hook.create_video(1, 2026, size=720, seconds=8.0)  # type: ignore[arg-type]
    hook.remix_video(123456, 7)  # type: ignore[arg-type]
    first, second = (json.loads(request.body) for request in gateway.requests)
    assert first == {"model": "1", "prompt": "2026", "size": "720", "seconds": "8"}
    assert (second, gateway.requests[1].path) == ({"prompt": "7"}, "/v1/videos/123456/remix")


@pytest.mark.parametrize("value", [True, ["cat"], {"a": 1}, None], ids=repr)
def test_what_is_no_text_is_named_before_it_costs(
    value: Any, generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    for arguments in ({"destination": value},) if value is not None else ():
        with pytest.raises(errors.ConfigurationError, match="destination"):
            generate(**arguments).execute(context())
    task = generate()
    task.prompt = value
    with pytest.raises(errors.ConfigurationError, match="prompt must be a non-empty string"):
        task.execute(context())
    assert sandbox.requests() == []


# ----------------------------------------------------------------------------------------- seconds


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"seconds": 8}, {"seconds": "8"}),
        ({"seconds": "8.0"}, {"seconds": "8"}),
        ({"fields": {"seconds": 8}}, {"seconds": 8}),
        ({"fields": {"seconds": "8"}}, {"seconds": "8"}),
        ({"fields": {"duration": 5}}, {"duration": 5}),
        ({"model": "doubao-seedance-2", "seconds": "5.0"}, {"duration": 5}),
        ({"size": "768P"}, {"size": "768P"}),
        ({"fields": {"size": "16:9"}}, {"size": "16:9"}),
    ],
    ids=repr,
)
def test_a_field_has_the_type_that_its_source_takes(
    arguments: dict[str, Any], sent: dict[str, Any], gateway: Gateway, context: Any
) -> None:
    given = {"model": "any", "prompt": "a cat", **arguments}
    WisdomGateCreateVideoOperator(task_id="clip", **given).execute(context())
    assert json.loads(gateway.requests[0].body) == {"model": given["model"], "prompt": "a cat", **sent}


def test_one_length_is_one_request_however_it_is_written(generate: Generate, sandbox: Sandbox, context: Any) -> None:
    first = generate().execute(context())
    for arguments in ({"seconds": 1.0}, {"seconds": "1"}, {"seconds": None, "fields": {"seconds": 1}}):
        task = generate()
        for name, value in arguments.items():
            setattr(task, name, value)
        assert task.execute(context(run_id="next")) == first
    assert (first["request"]["fields"], sandbox.counts()["creates"]) == ({"seconds": "1", "size": "64x48"}, 1)


# ----------------------------------------------------------------------------------------- references


@pytest.mark.parametrize("reference", [URL, DATA, {"image_url": URL}, [URL, DATA, {"image_url": URL}]], ids=repr)
def test_a_reference_is_sent_and_only_its_hash_is_kept(
    reference: Any, connect: Connect, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    task = generate(input_reference=reference, fields={"tag": "x"})
    stored = task.execute(context())
    texts = [each if isinstance(each, str) else json.dumps(each) for each in listed(reference)]
    hashes = [sha256(text.encode()) for text in texts]
    assert sandbox.videos()[0]["fields"]["input_reference"] == reference
    assert stored["request"]["input_reference_sha256"] == (hashes if isinstance(reference, list) else hashes[0])
    assert "of-a-cat" not in local.read("cat.mp4.json").decode()
    assert DATA not in json.dumps([stored, serialize_template_field(task.input_reference, "input_reference")])
    assert generate(input_reference=reference, fields={"tag": "x"}).execute(context(run_id="next")) == stored


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_several_files_are_repeated_parts(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    local.write("one.png", PNG)
    local.write("two.png", PNG + b"!")
    generate(input_reference=[local.uri("one.png"), local.uri("two.png")]).execute(context())
    (video,) = sandbox.videos()
    assert [part["sha256"] for part in video["fields"]["input_reference"]] == [sha256(PNG), sha256(PNG + b"!")]


def test_another_url_is_another_request(generate: Generate, sandbox: Sandbox, context: Any) -> None:
    generate(input_reference=URL).execute(context())
    with pytest.raises(errors.DestinationTakenError) as caught:
        generate(input_reference=URL + "2").execute(context(run_id="next"))
    assert ("of-a-cat" in str(caught.value), sandbox.counts()["creates"]) == (False, 1)


def test_no_url_of_a_reference_is_opened_here(generate: Generate, sandbox: Sandbox, context: Any) -> None:
    with scripted(lambda request: http(200, PNG)) as images:
        generate(input_reference=f"http://127.0.0.1:{images.port}/cat.png").execute(context())
        assert (images.requests, sandbox.counts()["creates"]) == ([], 1)


def test_a_retry_does_not_read_a_reference_that_is_gone(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    local.write("one.png", PNG)
    task = generate(input_reference=[local.uri("one.png"), URL], deferrable=True)
    deferral = deferred(task, context())
    local.delete("one.png")
    assert resume(task, deferral, fire(deferral), context())["phase"] == "stored"
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


# ----------------------------------------------------------------------------------------- a Base URL's query

QUERY = "api-version=2026-01-01&subscription-key=key-of-the-query"


def test_every_request_has_the_query_and_nothing_shows_it(
    connect: Connect,
    generate: Generate,
    local: LocalPlace,
    sandbox: Sandbox,
    context: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    connect(host=f"{sandbox.url}/v1?{QUERY}")
    task = generate(deferrable=True, min_balance=1.0)
    deferral = deferred(task, context())
    event = fire(deferral)
    stored = resume(task, deferral, event, context())
    WisdomGateHook().list_videos()
    asked = [request["path"] for request in sandbox.requests() if "/signed/" not in request["path"]]
    assert {path.partition("?")[2] for path in asked} == {QUERY}
    assert len({path.partition("?")[0] for path in asked}) == 4
    shown = [stored, deferral.trigger.serialize(), event, local.read("cat.mp4.json").decode(), caplog.text]
    assert "api-version" not in repr(shown)
    assert stored["request"]["base_url"] == f"{sandbox.url}/v1"


def test_the_query_may_change_while_a_clip_is_made(
    connect: Connect, generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    connect(host=f"{sandbox.url}?{QUERY}")
    task = generate(deferrable=True)
    deferral = deferred(task, context())
    connect(host=sandbox.url)
    assert resume(task, deferral, fire(deferral), context())["phase"] == "stored"
    assert generate().execute(context(run_id="next"))["phase"] == "stored"
    assert sandbox.counts()["creates"] == 1


def test_a_gateway_that_repeats_the_query_shows_no_key(connect: Connect, quick: None) -> None:
    def repeat(request: Any) -> bytes:
        return http(400, json.dumps({"error": {"message": f"no such {request.path}", "type": "t"}}).encode())

    with scripted(repeat) as gateway:
        connect(host=f"{gateway.url}?{QUERY}")
        with pytest.raises(errors.BadRequestError) as caught:
            WisdomGateHook().create_video("any", "a cat")
    assert "key-of-the-query" not in repr([str(caught.value), caught.value.as_dict()])


def test_a_gateway_that_cannot_be_reached_is_named_without_the_query(connect: Connect, quick: None) -> None:
    connect(host=f"http://127.0.0.1:1/v1?{QUERY}")
    with pytest.raises(errors.UnreachableError) as caught:
        WisdomGateHook().create_video("any", "a cat")
    assert "key-of" not in str(caught.value)


@pytest.mark.skipif(not hasattr(sdk, "redact"), reason="this common-compat masks nothing")
def test_details_of_requests_in_a_log_have_no_key_of_the_query(connect: Connect, sandbox: Sandbox) -> None:
    connect(host=f"{sandbox.url}?{QUERY}")
    WisdomGateHook().test_connection()
    (path,) = {request["path"] for request in sandbox.requests()}
    assert sdk.redact(f"GET {path}") == "GET /v1/users/me/balance?api-version=2026-01-01&subscription-key=***"
