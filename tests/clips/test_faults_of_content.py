"""Every fault of the content route through a whole download: all of the clip under its name, or nothing at all."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import QUICK, SHORT_SILENCE, LocalPlace, made, sha256, told, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox

LATER = errors.VideoNotReadyError
FAULT = errors.GatewayFaultError
TEXT = errors.UnexpectedReplyError
MP4, WEBM, MOV = "video/mp4", "video/webm", "video/quicktime"

# fault -> the error that the download ends with, or the content type of the clip that is published
CASES: dict[str, type[errors.WisdomGateError] | str] = {
    "400": LATER,
    "401": errors.AuthenticationError,
    "401-quoting": errors.AuthenticationError,
    "403": errors.PermissionDeniedError,
    "404": errors.ContentMissingError,
    "409": LATER,
    "425": LATER,
    "401-ingress": TEXT,
    "403-ingress": TEXT,
    "404-ingress": TEXT,
    "404-xml": TEXT,
    "429-day": errors.RateLimitedError,
    "429-epoch": errors.RateLimitedError,
    "429-far-date": errors.RateLimitedError,
    "gzip": MP4,
    "deflate": MP4,
    "gzip-cut": errors.ConnectionBrokenError,
    "redirect-403": LATER,
    "other-etag": MP4,
    "star-total": MP4,
    "wrong-total": MP4,
    "405": errors.BadRequestError,
    "501": FAULT,
    "413": errors.BadRequestError,
    "422": errors.BadRequestError,
    "429": errors.RateLimitedError,
    "429-after": errors.RateLimitedError,
    "429-empty": errors.RateLimitedError,
    "500": FAULT,
    "502": FAULT,
    "503": FAULT,
    "504": FAULT,
    "524": FAULT,
    "502-html": FAULT,
    "200-html": TEXT,
    "200-empty": TEXT,
    "200-json-error": LATER,
    "202": LATER,
    "string-wrapped": FAULT,
    "detail": errors.BadRequestError,
    "plain-error": LATER,
    "drop": errors.ConnectionBrokenError,
    "slow": errors.ConnectionBrokenError,
    "hang": errors.ConnectionBrokenError,
    "chunked": MP4,
    "truncated": errors.ContentError,
    "empty": TEXT,
    "no-range": MP4,
    "not-ready-400": LATER,
    "502-404": errors.ContentMissingError,
    "octet-stream": MP4,
    "json-as-mp4": TEXT,
    "html-as-mp4": TEXT,
    "text-as-mp4": errors.ContentError,
    "jpeg": errors.ContentError,
    "webm": WEBM,
    "mov": MOV,
    "redirect": MP4,
    # What passes is recovered from, within the same try.
    "400x1+404x1+409x1": MP4,
    "429x1+429-emptyx1+500x1": MP4,
    "502x1+503x1+504x1": MP4,
    "524x1+502-htmlx1+200-htmlx1": MP4,
    "200-emptyx1+200-json-errorx1+202x1": MP4,
    "string-wrappedx1+plain-errorx1+dropx1": MP4,
    "not-ready-400x3": MP4,
    "cutx1": MP4,
    "cutx5": MP4,
    "401x1": MP4,
    "cutx1+other-etag": MP4,
    "cutx1+star-total": MP4,
    "cutx1+wrong-totalx1": MP4,
    "cutx1+gzip": MP4,
    "gzip-cutx1+cutx1": MP4,
    "401-ingressx1+403-ingressx1+404-xmlx1": MP4,
    "redirect-403x3+redirect": MP4,
    "429-dayx1+429-epochx1+429-far-datex1": MP4,
    "cut-chunkedx1": MP4,
    "cut-closex1": MP4,
    "cutx1+no-range": MP4,
    "cut-closex1+cut-chunkedx1+cutx1": MP4,
    "stallx1": MP4,
    "truncatedx1": MP4,
    "emptyx1+json-as-mp4x1+html-as-mp4x1": MP4,
    "text-as-mp4x1+jpegx1": MP4,
    "cutx1+500x1+redirect": MP4,
    "cutx1+text-as-mp4x1": MP4,
}
SILENT = ("slow", "hang", "stallx1")


@pytest.mark.parametrize("fault", CASES)
def test_a_download_that_meets_a_fault_publishes_the_whole_clip_or_nothing(
    fault: str, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, connect: Callable[..., Any]
) -> None:
    video_id = made(hook, f"content={fault}")
    if fault in SILENT:
        connect(extra={"timeout": SHORT_SILENCE})
        hook = WisdomGateHook()
    outcome: errors.WisdomGateError | str
    try:
        outcome = str(hook.download_video(video_id, local.uri("cat.mp4")).content_type)
    except errors.WisdomGateError as error:
        outcome = error
    assert (outcome if isinstance(outcome, str) else type(outcome)) == CASES[fault]
    if isinstance(outcome, str):
        container = {MP4: "mp4", MOV: "mov", WEBM: "webm"}[outcome]
        assert sha256(local.read("cat.mp4")) == sha256(whole(container=container))
        assert local.names() == ["cat.mp4", "cat.mp4.json"]
    else:
        assert (local.names(), sandbox.api_key in told(outcome)) == ([], False)
    assert sandbox.counts()["creates"] == 1


@pytest.mark.parametrize("fault", ["cut", "cut-chunked", "cut-close", "stall"])
def test_a_body_that_breaks_again_and_again_ends_in_a_typed_error_and_no_file(
    fault: str, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, connect: Callable[..., Any]
) -> None:
    video_id = made(hook, f"content={fault}x1+text-as-mp4")
    if fault == "stall":
        connect(extra={"timeout": SHORT_SILENCE})
        hook = WisdomGateHook()
    with pytest.raises(errors.ContentError):
        hook.download_video(video_id, local.uri("cat.mp4"))
    assert (local.names(), sandbox.counts()["downloaded_whole"], sandbox.counts()["creates"]) == ([], 0, 1)


@pytest.mark.parametrize("fault", ["truncated", "text-as-mp4", "jpeg"])
def test_whole_content_that_is_no_video_is_fetched_no_more_often_than_the_retry_policy_says(
    fault: str, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    video_id = made(hook, f"content={fault}")
    with pytest.raises(errors.ContentError):
        hook.download_video(video_id, local.uri("cat.mp4"))
    assert sandbox.counts()["downloads"] == QUICK.attempts


@pytest.mark.parametrize("fault", ["cut", "cut-chunked", "cut-close"])
def test_a_body_that_always_breaks_is_given_up_after_a_bounded_number_of_tries(
    fault: str, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    video_id = made(hook, f"content={fault}")
    with pytest.raises((errors.ContentError, errors.ConnectionBrokenError)):
        hook.download_video(video_id, local.uri("cat.mp4"))
    counts = sandbox.counts()
    assert (local.names(), counts["creates"], counts["downloads"] <= 30) == ([], 1, True)


def test_a_clip_past_its_time_is_missing_and_names_the_reason(
    hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    video_id = made(hook, "expires=0")
    with pytest.raises(errors.ContentMissingError) as caught:
        hook.download_video(video_id, local.uri("cat.mp4"))
    assert (caught.value.status, caught.value.code, caught.value.video_id) == (404, "video_expired", video_id)
    assert (sandbox.counts()["downloads"], local.names()) == (6, [])


def test_a_404_of_a_video_past_its_time_is_told_apart_by_its_status(
    hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    video_id = made(hook, "expires=0.0 content=404")
    with pytest.raises(errors.ContentMissingError):
        hook.download_video(video_id, local.uri("cat.mp4"))
    assert local.names() == []


def test_a_video_that_the_gateway_never_had_is_not_found_after_one_request_of_each_kind(
    hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    with pytest.raises(errors.VideoNotFoundError) as caught:
        hook.download_video("video_never", local.uri("cat.mp4"))
    counts = sandbox.counts()
    assert (caught.value.video_id, counts["downloads"], counts["polls"]) == ("video_never", 1, 1)
    assert local.names() == []


def test_a_download_of_a_failed_video_is_refused(hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace) -> None:
    video_id = made(hook, "fail=internal_error")
    with pytest.raises(errors.WisdomGateError):
        hook.download_video(video_id, local.uri("cat.mp4"))
    assert local.names() == []


def test_content_that_comes_a_little_after_completed_is_waited_for(
    hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    video_id = made(hook, "late=0.03")
    hook.download_video(video_id, local.uri("cat.mp4"))
    assert sha256(local.read("cat.mp4")) == sha256(whole())


def test_a_redirect_to_another_host_takes_neither_the_key_nor_the_connections_headers_along(
    sandbox: Sandbox, quick: None, local: LocalPlace, connect: Callable[..., Any]
) -> None:
    connect(extra={"X-Team": "films"})
    hook = WisdomGateHook()
    video_id = made(hook, "content=redirect")
    hook.download_video(video_id, local.uri("cat.mp4"))
    first, second = sandbox.requests()[-2:]
    ports = {"gateway": urlsplit(sandbox.url).port, "storage": urlsplit(sandbox.storage_url).port}
    assert [
        (seen["port"], seen["authorization"], seen["headers"].get("x-team"), seen["path"].partition("/")[2][:6])
        for seen in (first, second)
    ] == [(ports["gateway"], True, "films", "v1/vid"), (ports["storage"], False, None, "signed")]
    assert sha256(local.read("cat.mp4")) == sha256(whole())


def test_a_broken_redirected_body_is_resumed_without_the_key(
    hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace
) -> None:
    video_id = made(hook, "content=cutx1+redirect")
    hook.download_video(video_id, local.uri("cat.mp4"))
    last = sandbox.requests()[-1]
    assert (last["authorization"], last["headers"]["range"]) == (False, f"bytes={len(whole()) // 2}-")
    assert sha256(local.read("cat.mp4")) == sha256(whole())


def test_a_gateway_that_goes_away_before_the_download_is_unreachable(
    hook: WisdomGateHook, local: LocalPlace, connect: Callable[..., Any], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    connect(host=f"http://127.0.0.1:{port}")
    with pytest.raises(errors.UnreachableError):
        WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert local.names() == []
