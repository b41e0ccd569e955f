"""The faults that a prompt asks the sandbox for."""

from __future__ import annotations

import contextlib
import json

import pytest
import requests
from gateway_calls import SMALL, call, content, create, made, poll, raw, whole_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate.sandbox import Sandbox, directives
from airflow_provider_wisdomgate.sandbox.content import DELIVERY_FAULTS, SUBSTITUTES
from airflow_provider_wisdomgate.sandbox.replies import ENCODINGS, FIXED


@pytest.mark.parametrize(
    ("directive", "told"),
    [
        ("fial=x", "fail=CODE"),
        ("poll=5000", "429-after"),
        ("create=cut", "lost-504"),
        ("content=lost", "cut-chunked"),
        ("poll=500xx", "502-html"),
        ("render=soon", "seconds"),
        ("bytes=-1", "whole number"),
        ("never=yes", "no value"),
        ("address=uri", "meta_data.url"),
        ("storage=lost", "cut-chunked"),
        ("", "known"),
    ],
)
def test_a_typo_in_a_directive_is_a_400_that_names_what_is_known(sandbox: Sandbox, directive: str, told: str) -> None:
    reply = create(sandbox, f"a cat [sandbox: {directive}]")
    assert (reply.status_code, told in reply.json()["error"]["message"]) == (400, True)
    assert sandbox.counts()["creates"] == 0


def test_a_directive_without_its_end_is_a_400(sandbox: Sandbox) -> None:
    assert create(sandbox, "a cat [sandbox: never").status_code == 400


def test_directives_are_taken_out_of_the_picture_but_not_of_the_prompt() -> None:
    read = directives.parse("a [sandbox: never, render=1.5] cat [Sandbox: poll=500x2+429]")
    assert (read.text, read.never, read.render) == ("a cat", True, 1.5)
    assert read.replies == {"poll": (directives.RepeatedFault("500", 2), directives.RepeatedFault("429", None))}


@settings(max_examples=60, deadline=None, database=None)
@given(st.text() | st.text("abcdefx=+,0129. -").map(lambda text: f"[sandbox:{text}]"))
def test_any_prompt_is_read_or_refused(prompt: str) -> None:
    with contextlib.suppress(directives.DirectiveError):
        assert isinstance(directives.parse(prompt), directives.Directives)


ALONE = {"401-quoting", "drop", "slow", "hang", "lost", "lost-504", "no-id", "task-id", "redirect"}
ALONE |= {*ENCODINGS, "lost-hang", "redirect-403", "absurd-times"}


def test_the_table_names_each_fault_that_is_built_and_no_other() -> None:
    assert {fault.name for fault in directives.FAULTS} == {*FIXED, *DELIVERY_FAULTS, *SUBSTITUTES, *ALONE}
    assert len(directives.FAULTS) == len({fault.name for fault in directives.FAULTS})


def fixed(route: str) -> list[str]:
    return [fault.name for fault in directives.FAULTS if route in fault.routes and fault.name in FIXED]


def check_fixed(reply: requests.Response, fault: str) -> None:
    expected = FIXED[fault]
    assert reply.status_code == expected.status
    assert reply.headers.get("Retry-After") == expected.headers.get("Retry-After")
    assert reply.headers["Content-Type"].startswith(expected.media_type)
    assert (reply.json() if isinstance(expected.body, dict) else reply.text) == expected.body


@pytest.mark.parametrize("fault", fixed("poll"))
def test_a_poll_answers_with_the_fault_once_and_then_behaves(sandbox: Sandbox, fault: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: poll={fault}x1]")
    check_fixed(poll(sandbox, video_id), fault)
    assert poll(sandbox, video_id).json()["id"] == video_id


@pytest.mark.parametrize("fault", fixed("content"))
def test_content_answers_with_the_fault_once_and_then_behaves(sandbox: Sandbox, fault: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: content={fault}x1]")
    check_fixed(content(sandbox, video_id), fault)
    assert content(sandbox, video_id).content == whole_clip()


@pytest.mark.parametrize("fault", fixed("create"))
def test_a_create_answers_with_the_fault_once_and_makes_nothing(sandbox: Sandbox, fault: str) -> None:
    prompt = f"a cat [sandbox: create={fault}x1]"
    check_fixed(create(sandbox, prompt), fault)
    assert sandbox.videos() == []
    assert create(sandbox, prompt).json()["status"] == "completed"
    assert (sandbox.counts()["create_requests"], sandbox.counts()["creates"]) == (2, 1)


def test_faults_joined_by_plus_are_used_up_in_order(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: poll=500x2+429x1+404]")
    assert [poll(sandbox, video_id).status_code for _ in range(5)] == [500, 500, 429, 404, 404]


def test_an_upstream_error_wrapped_in_a_string_is_json_twice(sandbox: Sandbox) -> None:
    body = poll(sandbox, made(sandbox, "a cat [sandbox: poll=string-wrapped]")).json()
    assert (body["data"], json.loads(body["message"])["error"]["code"]) == (
        None,
        "internal_error",
    )


def test_a_401_may_quote_the_key_that_was_sent(sandbox: Sandbox) -> None:
    reply = poll(sandbox, made(sandbox, "a cat [sandbox: poll=401-quoting]"))
    assert (reply.status_code, sandbox.api_key in reply.json()["error"]["message"]) == (401, True)


@pytest.mark.parametrize("route", ["", "/content"])
def test_a_dropped_connection_closes_without_a_byte(sandbox: Sandbox, route: str) -> None:
    video_id = made(sandbox, "a cat [sandbox: poll=drop content=drop]")
    assert raw(sandbox, f"/v1/videos/{video_id}{route}") == (b"", b"", "closed")


@pytest.mark.parametrize("fault", ["hang", "slow"])
@pytest.mark.parametrize("route", ["", "/content"])
def test_a_reply_that_hangs_or_is_slow_sends_nothing_meanwhile(sandbox: Sandbox, route: str, fault: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: poll={fault} content={fault}]")
    assert raw(sandbox, f"/v1/videos/{video_id}{route}", timeout=0.1) == (b"", b"", "silent")


@pytest.mark.parametrize(("fault", "paid"), [("drop", 0), ("lost", 1)])
def test_a_create_that_is_dropped_is_paid_only_when_it_was_lost(sandbox: Sandbox, fault: str, paid: int) -> None:
    prompt = f"a cat [sandbox: create={fault}x1]"
    with pytest.raises(requests.ConnectionError):
        create(sandbox, prompt)
    assert sandbox.counts()["creates"] == paid
    create(sandbox, prompt)
    assert sandbox.counts()["creates"] == paid + 1


@pytest.mark.parametrize(("fault", "paid"), [("hang", 0), ("lost-hang", 1)])
def test_a_create_that_hangs_is_paid_only_when_it_was_lost(sandbox: Sandbox, fault: str, paid: int) -> None:
    with pytest.raises(requests.ReadTimeout):
        call(sandbox, "POST", "/v1/videos", json={**SMALL, "prompt": f"a cat [sandbox: create={fault}]"}, timeout=0.5)
    assert sandbox.counts()["creates"] == paid


def test_a_lost_504_is_paid(sandbox: Sandbox) -> None:
    assert create(sandbox, "a cat [sandbox: create=lost-504]").status_code == 504
    assert sandbox.counts()["creates"] == 1


def test_a_create_without_an_id_is_paid_and_has_none_of_any_kind(sandbox: Sandbox) -> None:
    reply = create(sandbox, "a cat [sandbox: create=no-id]").json()
    assert (reply["object"], "id" in reply, "task_id" in reply) == ("video", False, False)
    assert sandbox.counts()["creates"] == 1


def test_a_task_id_stands_alone_at_first_and_beside_the_id_later(sandbox: Sandbox) -> None:
    reply = create(sandbox, "a cat [sandbox: create=task-id]").json()
    assert "id" not in reply
    video = poll(sandbox, reply["task_id"]).json()
    assert video["id"] == video["task_id"] == reply["task_id"]
