"""The content route does not serve a finished clip whose object names an address: the address does, without the key."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from scripted import Answer, Gateway, Request, http, in_turn, scripted
from support import SMALL, LocalPlace, TaskInstance, fire, resume, tls_in_front_of, told, whole
from support import asked as asking

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Connect = Callable[..., dict[str, Any]]
Sources = tuple[Gateway, Gateway]
CAT = whole()
SIGNATURE = "s3cret"
CLIP = http(200, CAT, {"Content-Type": "video/mp4", "ETag": '"cat"'})
PLACES: dict[str, Callable[[str], Mapping[str, Any]]] = {
    "url": lambda url: {"url": url},
    "video_url": lambda url: {"video_url": url},
    "meta_data.url": lambda url: {"meta_data": {"url": url}},
    "metadata.url": lambda url: {"metadata": {"url": url}},
    "outputs.video_url": lambda url: {"outputs": {"video_url": url}},
    "content.video_url": lambda url: {"content": {"video_url": url}},
    "unsigned_urls": lambda url: {"unsigned_urls": [url]},
    "data[].url": lambda url: {"data": [{"url": url}]},
    "result_url": lambda url: {"result_url": url},
}
REFUSALS: dict[str, bytes] = {
    **{str(s): http(s, json.dumps({"error": {"message": "no", "code": "no"}}).encode()) for s in (401, 402, 403, 404)},
    **{str(s): http(s, json.dumps({"error": {"message": "no", "code": "no"}}).encode()) for s in (405, 410, 501)},
    "a page's 401": http(401, b"<html>401 Authorization Required</html>"),
    "gin's 404": http(404, b"404 page not found", {"Content-Type": "text/plain"}),
    "FastAPI's 404": http(404, b'{"detail": "Not Found"}'),
    "FastAPI's 405": http(405, b'{"detail": "Method Not Allowed"}'),
    "an empty 405": http(405),
    "new-api's unknown task": http(400, b'{"code": "task_not_exist", "message": "task not exist"}'),
    "new-api's wrapped 401": http(502, b'{"error": {"message": "Upstream service returned status 401"}}'),
    "new-api's wrapped 404": http(502, b'{"error": {"message": "Upstream service returned status 404"}}'),
}
NO_CONTENT = REFUSALS["404"]


def signed(storage: Gateway, number: int = 1) -> str:
    return f"{storage.url}/clips/cat.mp4?X-Signature={SIGNATURE}{number}"


def finished(fields: Mapping[str, Any], status: str = "completed") -> bytes:
    return http(200, json.dumps({"id": "video_1", "object": "video", "status": status, **fields}).encode())


def serve(gateway: Gateway, refusal: bytes | Answer, video: bytes | Answer) -> None:
    """Let the gateway answer a create, polls and the content route."""
    polls, contents = in_turn(video), in_turn(refusal)
    created = http(200, b'{"id": "video_1", "object": "video", "status": "queued"}')

    def answer(request: Request) -> bytes:
        if request.method == "POST":
            return created
        return (contents if request.path.endswith("/content") else polls)(request)

    gateway.answer = answer


@pytest.fixture
def sources(gateway: Gateway, connect: Connect) -> Iterator[Sources]:
    """The gateway, and the storage that has the clip."""
    with scripted(in_turn(CLIP)) as storage:
        connect(host=gateway.url, extra={"X-Team": "films"})
        serve(gateway, NO_CONTENT, finished({"url": signed(storage)}))
        yield gateway, storage


def fetch(local: LocalPlace) -> dict[str, Any]:
    return WisdomGateHook().download_video("video_1", local.uri("cat.mp4")).as_dict()


def asked(gateway: Gateway) -> list[str]:
    return [f"{request.method} {request.path.removeprefix('/v1/videos')}" for request in gateway.requests]


def fails(local: LocalPlace) -> errors.WisdomGateError:
    """Fail to fetch; no word of the error, and no file, holds a signature."""
    with pytest.raises(errors.WisdomGateError) as caught:
        fetch(local)
    assert SIGNATURE not in told(caught.value) + json.dumps(caught.value.as_dict())
    assert local.names() == []
    return caught.value


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("status", ["401", "404", "405"])
def test_a_refused_clip_comes_from_its_address_under_every_name(
    status: str, place: str, sources: Sources, local: LocalPlace
) -> None:
    gateway, storage = sources
    serve(gateway, REFUSALS[status], finished(PLACES[place](signed(storage))))
    manifest = fetch(local)
    assert local.read("cat.mp4") == CAT
    assert manifest["content_host"] == storage.url.removeprefix("http://")
    assert asked(gateway) == ["GET /video_1/content", "GET /video_1"]
    assert [(it.path, *headers_of_ours(it)) for it in storage.requests] == [
        (f"/clips/cat.mp4?X-Signature={SIGNATURE}1",)
    ]


def headers_of_ours(request: Request) -> list[str]:
    return sorted({"authorization", "x-team", "cookie", "idempotency-key"} & request.headers.keys())


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_every_refusal_of_the_content_route_leads_to_the_address(
    refusal: bytes, sources: Sources, local: LocalPlace
) -> None:
    gateway, storage = sources
    serve(gateway, refusal, finished({"url": signed(storage)}))
    fetch(local)
    assert (local.read("cat.mp4"), len(storage.requests)) == (CAT, 1)


def test_a_signature_is_in_no_file_no_log_and_no_manifest(
    sources: Sources, local: LocalPlace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    manifest = fetch(local)
    assert SIGNATURE not in json.dumps(manifest) + caplog.text
    assert not [name for name in local.names() if SIGNATURE.encode() in local.read(name)]


# ------------------------------------------------------------------------------------------ content_from


def test_content_from_route_never_asks_an_address(sources: Sources, connect: Connect, local: LocalPlace) -> None:
    gateway, storage = sources
    connect(host=gateway.url, extra={"content_from": "route"})
    assert type(fails(local)) is errors.ContentMissingError
    serve(gateway, REFUSALS["401"], finished({"url": signed(storage)}))
    assert type(fails(local)) is errors.AuthenticationError
    assert storage.requests == []


def test_content_from_address_never_asks_the_route(sources: Sources, connect: Connect, local: LocalPlace) -> None:
    gateway, storage = sources
    connect(host=gateway.url, extra={"content_from": "address"})
    fetch(local)
    assert (asked(gateway), len(storage.requests)) == (["GET /video_1"], 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("completed", errors.ContentMissingError),
        ("processing", errors.VideoNotReadyError),
        ("failed", errors.VideoFailedForGoodError),
    ],
)
def test_content_from_address_without_an_address_says_so(
    status: str, kind: type[Exception], gateway: Gateway, connect: Connect, local: LocalPlace
) -> None:
    connect(host=gateway.url, extra={"content_from": "address"})
    serve(gateway, CLIP, finished({}, status))
    error = fails(local)
    assert type(error) is kind
    assert ("names no address" in error.message) is (status == "completed")


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("401", errors.AuthenticationError),
        ("403", errors.PermissionDeniedError),
        ("404", errors.ContentMissingError),
        ("405", errors.BadRequestError),
        ("501", errors.GatewayFaultError),
        ("gin's 404", errors.UnexpectedReplyError),
    ],
)
def test_without_an_address_a_refusal_means_what_it_meant(
    refusal: str, kind: type[Exception], gateway: Gateway, local: LocalPlace
) -> None:
    serve(gateway, REFUSALS[refusal], finished({}))
    assert type(fails(local)) is kind


def test_a_faulty_or_hasty_route_does_not_lead_to_the_address(sources: Sources, local: LocalPlace) -> None:
    gateway, storage = sources
    video = finished({"url": signed(storage)})
    serve(gateway, in_turn(http(500), http(202), http(409), CLIP), video)
    fetch(local)
    assert (asked(gateway), storage.requests) == (["GET /video_1/content"] * 4, [])


def test_the_address_of_an_unfinished_video_is_not_asked(sources: Sources, local: LocalPlace) -> None:
    gateway, storage = sources
    serve(gateway, NO_CONTENT, finished({"url": signed(storage)}, "processing"))
    assert type(fails(local)) is errors.VideoNotReadyError
    assert storage.requests == []


# ---------------------------------------------------------------------------------- what an address may do


def test_an_expired_signature_is_named_anew(sources: Sources, local: LocalPlace) -> None:
    gateway, storage = sources
    serve(gateway, NO_CONTENT, in_turn(*(finished({"url": signed(storage, number)}) for number in (1, 2))))
    storage.answer = lambda request: CLIP if request.path.endswith("2") else http(403, b"<Error>expired</Error>")
    fetch(local)
    assert [request.path[-1] for request in storage.requests] == ["1", "2"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 200])
def test_an_address_that_never_serves_the_clip_leaves_it_missing(
    status: int, sources: Sources, local: LocalPlace
) -> None:
    gateway, storage = sources
    storage.answer = in_turn(http(status, f"<Error>{SIGNATURE}</Error>".encode()))
    for refusal, is_hearsay in (("404", False), ("401", True), ("405", True), ("gin's 404", True)):
        serve(gateway, REFUSALS[refusal], finished({"url": signed(storage)}))
        error = fails(local)
        assert (type(error), getattr(error, "is_hearsay", None)) == (errors.ContentMissingError, is_hearsay)
        assert f"The clip's own address answered HTTP {status} and no video" in error.message


@pytest.mark.parametrize("fault", [*(http(status) for status in (500, 503, 408, 425, 429)), b"", CLIP[:9]])
def test_a_fault_of_the_storage_passes(fault: bytes, sources: Sources, local: LocalPlace) -> None:
    _, storage = sources
    storage.answer = in_turn(fault, CLIP)
    fetch(local)
    assert (local.read("cat.mp4"), len(storage.requests)) == (CAT, 2)


def test_a_storage_that_stays_at_fault_ends_the_try_with_the_fault(sources: Sources, local: LocalPlace) -> None:
    _, storage = sources
    storage.answer = in_turn(http(503, SIGNATURE.encode()))
    assert type(fails(local)) is errors.GatewayFaultError


def test_a_storage_that_cannot_be_reached_shows_no_signature(sources: Sources, local: LocalPlace) -> None:
    gateway, _ = sources
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}/cat.mp4?X-Signature={SIGNATURE}"
    for refusal, kind in (("404", errors.ContentMissingError), ("405", errors.UnreachableError)):
        serve(gateway, REFUSALS[refusal], finished({"url": gone}))
        assert type(fails(local)) is kind


def test_a_broken_download_goes_on_at_the_address(sources: Sources, local: LocalPlace) -> None:
    gateway, storage = sources
    half = len(CAT) // 2
    rest = {"ETag": '"cat"', "Content-Range": f"bytes {half}-{len(CAT) - 1}/{len(CAT)}"}
    storage.answer = in_turn(CLIP[: len(CLIP) - len(CAT) + half], http(206, CAT[half:], rest))
    fetch(local)
    assert local.read("cat.mp4") == CAT
    second = storage.requests[1]
    assert (second.offset, second.headers["if-range"], headers_of_ours(second)) == (half, '"cat"', [])
    assert asked(gateway) == ["GET /video_1/content", "GET /video_1"] * 2


def test_a_redirect_of_the_address_is_followed_without_the_key(sources: Sources, local: LocalPlace) -> None:
    _, storage = sources
    with scripted(in_turn(CLIP)) as other:
        storage.answer = in_turn(http(307, b"", {"Location": f"{other.url}/x?token={SIGNATURE}"}))
        manifest = fetch(local)
    assert manifest["content_host"] == other.url.removeprefix("http://")
    assert [headers_of_ours(request) for request in (*storage.requests, *other.requests)] == [[], []]


def test_the_gateways_own_address_gets_the_key_and_is_no_other_host(gateway: Gateway, local: LocalPlace) -> None:
    video = finished({"url": f"{gateway.url}/files/cat.mp4"})

    def answer(request: Request) -> bytes:
        return {"content": NO_CONTENT, "cat.mp4": CLIP}.get(request.path.rpartition("/")[2], video)

    gateway.answer = answer
    assert "content_host" not in fetch(local)
    assert headers_of_ours(gateway.requests[-1]) == ["authorization"]


def test_a_login_in_an_address_is_not_recorded(sources: Sources, local: LocalPlace) -> None:
    gateway, storage = sources
    serve(gateway, NO_CONTENT, finished({"url": signed(storage).replace("//", f"//user:{SIGNATURE}@")}))
    assert SIGNATURE not in json.dumps(fetch(local))


# ------------------------------------------------------------------------------------ where none may lead


def resolve_as(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Let a name resolve to one address after the other, the last one for ever."""
    real, left = socket.getaddrinfo, list(addresses)

    def resolve(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != name:
            return real(host, port, *arguments, **options)
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


LOCAL = ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "2852039166", "0xA9FEA9FE"]
LOCAL += ["169.254.43518", "169.254.169.254.", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL."]
LOCAL += ["100.100.100.200", "[fd00:ec2::254]", "168.63.129.16", "[2002:a9fe:a9fe::1]", "user@169.254.169.254"]
LOCAL += ["169%2E254%2E169%2E254"]


@pytest.mark.parametrize("host", LOCAL)
@pytest.mark.parametrize("way", ["named", "redirected to"])
def test_a_machines_own_metadata_is_never_asked(way: str, host: str, sources: Sources, local: LocalPlace) -> None:
    gateway, storage = sources
    url = f"http://{host}:9/latest/meta-data?X-Signature={SIGNATURE}"
    storage.answer = in_turn(http(302, b"", {"Location": url}))
    serve(gateway, NO_CONTENT, finished({"url": url if way == "named" else signed(storage)}))
    error = fails(local)
    assert type(error) is errors.ContentMissingError
    assert "refused" in error.message or "not a URL" in error.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "127.1", "[::ffff:127.0.0.1]"])
def test_loopback_is_asked_only_if_the_gateway_is_there(
    host: str, gateway: Gateway, connect: Connect, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, "gateway.invalid", "10.0.0.1")
    with scripted(in_turn(CLIP)) as storage:
        serve(gateway, NO_CONTENT, finished({"url": f"http://{host}:{storage.port}/cat.mp4"}))
        # The scripted gateway is the proxy to a gateway of that name.
        proxies = {"http": gateway.url, "no_proxy": f"{host},[::1],::1"}
        connect(host="http://gateway.invalid", extra={"proxies": proxies})
        error = fails(local)
        assert type(error) is errors.ContentMissingError
        assert "refused" in error.message
        assert storage.requests == []


@pytest.mark.parametrize("addresses", [("169.254.169.254",), ("93.184.216.34", "127.0.0.1")], ids=["at once", "later"])
def test_a_name_that_resolves_to_a_refused_host_is_refused(
    addresses: tuple[str, ...], gateway: Gateway, connect: Connect, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, "gateway.invalid", "10.0.0.1")
    resolve_as(monkeypatch, "cdn.example", *addresses)
    with scripted(in_turn(CLIP)) as storage:
        serve(gateway, NO_CONTENT, finished({"url": f"http://cdn.example:{storage.port}/cat.mp4"}))
        proxies = {"http": gateway.url, "no_proxy": "cdn.example"}
        connect(host="http://gateway.invalid", extra={"proxies": proxies})
        with pytest.raises(errors.ContentMissingError, match="refused"), WisdomGateHook().open_content("video_1"):
            pass
        assert storage.requests == []


def test_a_name_of_a_private_host_is_asked(
    gateway: Gateway, connect: Connect, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Through a proxy, which alone can reach it.
    resolve_as(monkeypatch, "gateway.invalid", "10.0.0.1")
    resolve_as(monkeypatch, "cdn.example", "10.1.2.3")
    video = finished({"url": "http://cdn.example/cat.mp4"})

    def answer(request: Request) -> bytes:
        return {"content": NO_CONTENT, "cat.mp4": CLIP}.get(request.path.rpartition("/")[2], video)

    gateway.answer = answer
    connect(host="http://gateway.invalid", extra={"proxies": {"http": gateway.url}})
    assert fetch(local)["content_host"] == "cdn.example"


def test_https_is_never_left_for_http(sources: Sources, connect: Connect, local: LocalPlace, ca_bundle: str) -> None:
    gateway, storage = sources
    with tls_in_front_of(gateway.url) as safe, tls_in_front_of(storage.url) as safe_storage:
        connect(host=safe, extra={"verify": ca_bundle})
        assert "from https to http" in fails(local).message
        assert storage.requests == []

        serve(gateway, NO_CONTENT, finished({"url": f"{safe_storage}/cat.mp4?X-Signature={SIGNATURE}"}))
        storage.answer = in_turn(http(302, b"", {"Location": signed(storage)}), CLIP)
        storage.answer = in_turn(http(302, b"", {"Location": signed(storage)}))
        assert "from https to http" in fails(local).message

        storage.answer = in_turn(CLIP)
        assert fetch(local)["content_host"] == safe_storage.removeprefix("https://")


# -------------------------------------------------------------------------------------- in the operators


def generate(local: LocalPlace, **arguments: Any) -> WisdomGateGenerateVideoOperator:
    return WisdomGateGenerateVideoOperator(
        task_id="clip",
        destination=local.uri("cat.mp4"),
        **{"model": "any", "prompt": "a cat", "deferrable": False, "poll_interval": 0.02, "timeout": 60.0, **arguments},
    )


def test_a_generate_and_a_download_task_fetch_from_the_address(
    sources: Sources, connect: Connect, local: LocalPlace
) -> None:
    gateway, storage = sources
    serve(gateway, REFUSALS["405"], finished({"url": signed(storage)}))
    made = generate(local).execute({"ti": TaskInstance()})
    download = WisdomGateDownloadVideoOperator(task_id="d", video_id="video_1", destination=local.uri("dog.mp4"))
    fetched = download.execute({"ti": TaskInstance(task_id="d")})
    assert SIGNATURE not in json.dumps([made, fetched])
    assert made["content_host"] == fetched["content_host"] == storage.url.removeprefix("http://")
    assert local.read("cat.mp4") == local.read("dog.mp4") == CAT


def test_a_deferred_task_fetches_from_the_address_and_its_event_holds_no_signature(
    sandbox: Sandbox, connection: Any, local: LocalPlace
) -> None:
    task = generate(local, prompt=asking("render=0.1 content=405 address=data.url"), deferrable=True, **SMALL)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context := {"ti": TaskInstance()})
    event = fire(deferred.value)
    manifest = resume(task, deferred.value, event, context)
    assert manifest["content_host"] == sandbox.storage_url.removeprefix("http://")
    assert "signature" not in json.dumps([event, manifest])
    assert local.read("cat.mp4") == CAT


@pytest.mark.parametrize(("refusal", "creates"), [("401", 1), ("405", 1), ("gin's 404", 1), ("404", 2)])
def test_a_dead_address_alone_pays_for_no_other_video(
    refusal: str, creates: int, sources: Sources, local: LocalPlace, impatient: None
) -> None:
    gateway, storage = sources
    storage.answer = in_turn(http(403))
    serve(gateway, REFUSALS[refusal], finished({"url": signed(storage)}))
    with pytest.raises(errors.ContentMissingError) as caught:
        generate(local, on_gone="create").execute({"ti": TaskInstance()})
    assert len([request for request in gateway.requests if request.method == "POST"]) == creates
    record = json.loads(local.read("cat.mp4.json"))
    assert (record["phase"], record["video_id"]) == ("created", "video_1")
    assert SIGNATURE not in local.read("cat.mp4.json").decode() + told(caught.value)


@pytest.mark.parametrize(("refusal", "phase"), [("401", "created"), ("405", "created"), ("404", "failed")])
def test_a_dead_address_alone_confirms_no_expiry(
    refusal: str, phase: str, sources: Sources, local: LocalPlace, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, storage = sources
    monkeypatch.setattr(rules, "EXPIRY_MARGIN", -3600.0)
    storage.answer = in_turn(http(403))
    serve(gateway, REFUSALS[refusal], finished({"url": signed(storage), "expires_at": time.time() + 600}))
    with pytest.raises(errors.GatewayError):
        generate(local).execute({"ti": TaskInstance()})
    assert json.loads(local.read("cat.mp4.json"))["phase"] == phase
