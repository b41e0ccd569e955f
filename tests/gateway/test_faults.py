"""Every fault of the sandbox, and what becomes of it: a typed error or a recovery, never a second payment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support import QUICK, SHORT_SILENCE, SMALL, asked, sha256, told, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.directives import FAULTS

Send = Callable[[WisdomGateHook, Call[Video]], Video]
TWICE = replace(QUICK, attempts=2)


def send_sync(hook: WisdomGateHook, call: Call[Video]) -> Video:
    return hook.client.send(call, TWICE if call.timeout == SHORT_SILENCE else None)


def send_async(hook: WisdomGateHook, call: Call[Video]) -> Video:
    async def send() -> Video:
        async with AsyncClient(hook.settings, retry_policy=TWICE if call.timeout == SHORT_SILENCE else QUICK) as client:
            return await client.send(call)

    return asyncio.run(send())


both_clients = pytest.mark.parametrize("send", [send_sync, send_async], ids=["sync", "async"])


@dataclass(frozen=True)
class Case:
    """A fault, and how a call ends that meets it.

    :param error: the class of the error, None for a recovery.
    :param requests: how often it was sent.
    :param paid: how many videos were made.
    """

    fault: str
    error: type[errors.WisdomGateError] | None
    requests: int = 1
    status: int | None = None
    code: str | None = None
    paid: int = 0
    retry_after: float | None = None

    def __str__(self) -> str:
        return self.fault


def end_of(send: Send, hook: WisdomGateHook, call: Call[Video]) -> dict[str, Any]:
    """Send a call and say how it ended, in the words of a case."""
    caught: errors.WisdomGateError | None = None
    try:
        send(hook, call)
    except errors.WisdomGateError as error:
        caught = error
    assert caught is None or hook.settings.api_key not in told(caught)
    facts = {name: getattr(caught, name, None) for name in ("status", "code", "retry_after")}
    return {"error": caught and type(caught), **facts}


def expected_end(case: Case) -> dict[str, Any]:
    return {"error": case.error, "status": case.status, "code": case.code, "retry_after": case.retry_after}


LOST = errors.LostCreateError
CREATE_CASES = (
    Case("400", errors.BadRequestError, 1, 400, "invalid_request"),
    Case("401", errors.AuthenticationError, 1, 401, "invalid_api_key"),
    Case("401-quoting", errors.AuthenticationError, 1, 401, "invalid_api_key"),
    Case("403", errors.PermissionDeniedError, 1, 403, "access_denied"),
    Case("404", errors.BadRequestError, 1, 404, "video_not_found"),
    Case("409", LOST, 1, 409, "conflict"),
    Case("425", LOST, 1, 425, "too_early"),
    Case("401-ingress", errors.UnexpectedReplyError, 1, 401),
    Case("403-ingress", LOST, 1, 403),
    Case("404-ingress", errors.UnexpectedReplyError, 1, 404),
    Case("404-xml", errors.UnexpectedReplyError, 1, 404),
    Case("gzip", None, 1, paid=1),
    Case("deflate", None, 1, paid=1),
    Case("gzip-cut", LOST, 1, 200, paid=1),
    Case("absurd-times", None, 1, paid=1),
    Case("429-day", errors.RateLimitedError, 4, 429, "rate_limit_exceeded", retry_after=86_400.0),
    Case("429-epoch", errors.RateLimitedError, 4, 429, "rate_limit_exceeded"),
    Case("429-far-date", errors.RateLimitedError, 4, 429, "rate_limit_exceeded"),
    Case("no-credit-402", errors.PermissionDeniedError, 1, 402, "insufficient_credits"),
    Case("no-credit-500", LOST, 1, 500, "insufficient_user_quota"),
    Case("no-credit-200", LOST, 1, 200, "insufficient_user_quota"),
    Case("409x2", LOST, 1, 409, "conflict"),
    Case("413", errors.BadRequestError, 1, 413, "request_too_large"),
    Case("422", errors.BadRequestError, 1, 422, "unprocessable"),
    Case("429", errors.RateLimitedError, 4, 429, "rate_limit_exceeded"),
    Case("429x3", None, 4, paid=1),
    Case("429-after", errors.RateLimitedError, 4, 429, "rate_limit_exceeded", retry_after=1.0),
    Case("429-empty", errors.RateLimitedError, 4, 429),
    Case("429-emptyx1", None, 2, paid=1),
    Case("500", LOST, 1, 500, "internal_error"),
    Case("502", LOST, 1, 502, "bad_gateway"),
    Case("503", LOST, 1, 503, "service_unavailable"),
    Case("504", LOST, 1, 504, "gateway_timeout"),
    Case("524", LOST, 1, 524, "timeout"),
    Case("502-html", LOST, 1, 502),
    Case("200-html", LOST, 1, 200),
    Case("200-empty", LOST, 1, 200),
    Case("200-json-error", LOST, 1, 200, "video_processing"),
    Case("202", LOST, 1, 202),
    Case("string-wrapped", LOST, 1, 500, "internal_error"),
    Case("detail", errors.BadRequestError, 1, 422),
    Case("plain-error", errors.BadRequestError, 1, 400),
    Case("drop", LOST, 1),
    Case("hang", LOST, 1),
    Case("moderation", errors.ModerationError, 1, 400, "moderation_blocked"),
    Case("no-channel", errors.GatewayFaultError, 4, 503, "get_channel_failed"),
    Case("no-channelx2+429x1", None, 4, paid=1),
    Case("model-gone", errors.ModelNotFoundError, 1, 503, "model_not_found"),
    Case("lost", LOST, 1, paid=1),
    Case("lost-hang", LOST, 1, paid=1),
    Case("lost-504", LOST, 1, 504, "gateway_timeout", paid=1),
    Case("no-id", LOST, 1, 200, paid=1),
    Case("task-id", None, 1, paid=1),
)
POLL_CASES = (
    Case("400", errors.BadRequestError, 1, 400, "invalid_request"),
    Case("401", errors.AuthenticationError, 1, 401, "invalid_api_key"),
    Case("401-quoting", errors.AuthenticationError, 1, 401, "invalid_api_key"),
    Case("403", errors.PermissionDeniedError, 1, 403, "access_denied"),
    Case("404", errors.VideoNotFoundError, 1, 404, "video_not_found"),
    Case("409", errors.VideoNotReadyError, 4, 409, "conflict"),
    Case("425", errors.VideoNotReadyError, 4, 425, "too_early"),
    Case("401-ingress", errors.UnexpectedReplyError, 4, 401),
    Case("403-ingress", errors.UnexpectedReplyError, 4, 403),
    Case("404-ingress", errors.UnexpectedReplyError, 4, 404),
    Case("404-xml", errors.UnexpectedReplyError, 4, 404),
    Case("gzip", None),
    Case("deflate", None),
    Case("gzip-cut", errors.ConnectionBrokenError, 4),
    Case("absurd-times", None),
    Case("429-day", errors.RateLimitedError, 4, 429, "rate_limit_exceeded", retry_after=86_400.0),
    Case("429-epoch", errors.RateLimitedError, 4, 429, "rate_limit_exceeded"),
    Case("429-far-date", errors.RateLimitedError, 4, 429, "rate_limit_exceeded"),
    Case("401-ingressx1+403-ingressx1+404-ingressx1", None, 4),
    Case("413", errors.BadRequestError, 1, 413, "request_too_large"),
    Case("422", errors.BadRequestError, 1, 422, "unprocessable"),
    Case("429", errors.RateLimitedError, 4, 429, "rate_limit_exceeded"),
    Case("429-after", errors.RateLimitedError, 4, 429, "rate_limit_exceeded", retry_after=1.0),
    Case("429-empty", errors.RateLimitedError, 4, 429),
    Case("500", errors.GatewayFaultError, 4, 500, "internal_error"),
    Case("502", errors.GatewayFaultError, 4, 502, "bad_gateway"),
    Case("503", errors.GatewayFaultError, 4, 503, "service_unavailable"),
    Case("504", errors.GatewayFaultError, 4, 504, "gateway_timeout"),
    Case("524", errors.GatewayFaultError, 4, 524, "timeout"),
    Case("502-html", errors.GatewayFaultError, 4, 502),
    Case("200-html", errors.UnexpectedReplyError, 4, 200),
    Case("200-empty", errors.UnexpectedReplyError, 4, 200),
    Case("200-json-error", errors.VideoNotReadyError, 4, 200, "video_processing"),
    Case("202", errors.UnexpectedReplyError, 4, 202),
    Case("string-wrapped", errors.GatewayFaultError, 4, 500, "internal_error"),
    Case("detail", errors.BadRequestError, 1, 422),
    Case("plain-error", errors.BadRequestError, 1, 400),
    Case("drop", errors.ConnectionBrokenError, 4),
    Case("slow", errors.ConnectionBrokenError, 2),
    Case("hang", errors.ConnectionBrokenError, 2),
    Case("409x1+429x1+429-emptyx1", None, 4),
    Case("500x1+502x1+503x1", None, 4),
    Case("504x1+524x1+502-htmlx1", None, 4),
    Case("200-htmlx1+200-emptyx1+200-json-errorx1", None, 4),
    Case("202x1+string-wrappedx1+dropx1", None, 4),
)


def test_the_tables_name_every_fault_that_the_sandbox_knows() -> None:
    def untried(route: str, cases: tuple[Case, ...]) -> set[str]:
        return {fault.name for fault in FAULTS if route in fault.routes} - {case.fault for case in cases}

    assert untried("create", CREATE_CASES) == {"slow"}  # has a test of its own below
    assert untried("poll", POLL_CASES) == set()
    from test_faults_of_content import CASES

    named = {name.rstrip("0123456789").removesuffix("x") for fault in CASES for name in fault.split("+")} | set(CASES)
    assert {fault.name for fault in FAULTS if "content" in fault.routes} - named == set()


@pytest.mark.parametrize("case", CREATE_CASES, ids=str)
def test_a_create_that_meets_a_fault_is_paid_for_at_most_once(
    case: Case, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    call = routes.create_video("any", asked(f"create={case.fault}"), {"seconds": "1", "size": "64x48"})
    if case.fault in ("hang", "lost-hang"):
        call = replace(call, timeout=SHORT_SILENCE)
    end = end_of(send_sync, hook, call)
    counts = sandbox.counts()
    assert (end, counts["create_requests"], counts["creates"]) == (expected_end(case), case.requests, case.paid)


@both_clients
def test_a_create_whose_answer_comes_too_late_is_lost_and_sent_once(send: Send, hook: WisdomGateHook) -> None:
    with Sandbox() as slow:  # of its own: the video is made when this test is over
        elsewhere = WisdomGateHook()
        elsewhere.settings = replace(hook.settings, base_url=f"{slow.url}/v1")
        call = routes.create_video("any", asked("create=slow"), {"seconds": "1", "size": "64x48"})
        end = end_of(send, elsewhere, replace(call, timeout=SHORT_SILENCE))
        assert (end, slow.counts()["create_requests"]) == (expected_end(Case("slow", LOST)), 1)


@both_clients
@pytest.mark.parametrize("case", POLL_CASES, ids=str)
def test_a_poll_that_meets_a_fault_ends_in_a_typed_error_or_recovers(
    case: Case, send: Send, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    video = hook.create_video(prompt=asked(f"render=0 poll={case.fault}"), **SMALL)
    call = routes.get_video(video.id)
    if case.fault in ("slow", "hang", "lost-hang"):
        call = replace(call, timeout=SHORT_SILENCE)
    end = end_of(send, hook, call)
    counts = sandbox.counts()
    assert (end, counts["polls"], counts["creates"]) == (expected_end(case), case.requests, 1)


@both_clients
def test_a_gateway_that_nobody_serves_is_unreachable_and_a_create_to_it_is_tried_again(
    send: Send, hook: WisdomGateHook
) -> None:
    dead = WisdomGateHook()
    dead.settings = replace(hook.settings, base_url="http://127.0.0.1:9/v1")
    create = routes.create_video("any", "a cat", {})
    ends = [end_of(send, dead, call) for call in (create, routes.get_video("video_1"))]
    unreachable = {"error": errors.UnreachableError, "status": None, "code": None, "retry_after": None}
    assert ends == [unreachable, unreachable]


@both_clients
def test_an_error_carries_the_gateways_request_id_and_the_video(
    send: Send, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    video = hook.create_video(prompt=asked("render=0 poll=403"), **SMALL)
    with pytest.raises(errors.PermissionDeniedError) as caught:
        send(hook, routes.get_video(video.id))
    assert caught.value.facts == {
        "status": 403,
        "code": "access_denied",
        "type": "permission_error",
        "request_id": sandbox.requests()[-1]["request_id"],
        "video_id": video.id,
    }


@both_clients
def test_an_id_with_slashes_and_equal_signs_reaches_the_gateway_as_it_is(send: Send, hook: WisdomGateHook) -> None:
    video = hook.create_video(prompt=asked("render=0 odd-id"), **SMALL)
    assert "/" in video.id
    assert send(hook, routes.get_video(video.id)).id == video.id


def test_both_clients_read_the_same_video(hook: WisdomGateHook) -> None:
    video = hook.create_video(prompt=asked("render=0"), **SMALL)
    calls = [send(hook, routes.get_video(video.id)) for send in (send_sync, send_async)]
    first, second = (replace(seen, request_id=None) for seen in calls)
    assert first == second
    assert (first.id, first.status, first.seconds, first.size) == (video.id, "completed", "1", "64x48")


def test_both_clients_send_the_same_create(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    image = routes.Part("reference.png", b"\x89PNG\r\n\x1a\nrest", "image/png")
    call = routes.create_video("sora-2", "Füße", {"seconds": 4, "size": "64x48"}, image)
    for send in (send_sync, send_async):
        send(hook, call)
    first, second = (video["fields"] for video in sandbox.videos())
    assert first == second
    assert first == {
        "prompt": "Füße",
        "model": "sora-2",
        "seconds": "4",
        "size": "64x48",
        "input_reference": {
            "filename": "reference.png",
            "content_type": "image/png",
            "size": len(image.content),
            "sha256": sha256(image.content),
        },
    }


def test_the_sandbox_renders_the_same_bytes_each_time() -> None:
    assert sha256(whole()) == sha256(whole())
