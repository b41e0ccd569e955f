"""A gateway sends the key back, spelled and placed by chance: it is searched for in all that leaves.

More of them, or the same ones again:  SPELLINGS=2000 SEED=7 ./scripts/test tests/security/test_every_spelling.py
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from typing import Any

import pytest
from commands import manifest
from key_search import KEY, MARK, Net, Tasks
from scripted import Request, http, scripted
from spellings import Spellings, leaks
from support import QUICK, put_manifest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.main import parser
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger import driver

SEED = int(os.environ.get("SEED") or time.time())
COUNT = int(os.environ.get("SPELLINGS") or 60)
# So many cases in a row are met by one test, and every so many by whole tasks and commands, too.
BATCH, WHOLE = 20, 5
VIDEO = {"id": "video_1", "object": "video", "model": "any", "status": "queued", "progress": 1}
DONE = json.dumps({**VIDEO, "status": "completed"}).encode()
SIGNED = "https://store.example/clip.mp4?X-Signature="
SIGNATURE = "s1gn4tur3"


def head(status: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""]).encode("latin-1", "replace")


def no_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "").replace("\0", "")


def json_answer(spellings: Spellings, status: int, body: Any) -> bytes:
    return http(status, spellings.document(body), {"Content-Type": "application/json"})


def errors_with(text: str) -> list[Any]:
    """Every shape of an error."""
    return [
        {"error": {"message": text, "type": "invalid_request_error", "code": "x"}},
        {"error": {"message": "no", "type": text, "code": text}},
        {"error": text},
        {"detail": text},
        {"detail": [{"loc": ["header"], "input": text}]},
        {"code": 401, "message": json.dumps({"error": {"message": text, "code": "x"}}), "data": None},
        {"message": "no", "data": {"error": {"message": text, "type": "video_not_ready"}}},
        {"error": {"message": f"see {SIGNED}{SIGNATURE} and {text}", "code": "x"}},
        {"error": {"message": "x" * random.Random(len(text)).randrange(440, 510) + text}},
        [text],
        text,
    ]


def videos_with(text: str, dice: random.Random) -> list[Any]:
    """Every place of an object that is a video, alone, in an envelope and in a list."""
    names = ["status", "model", "seconds", "size", "prompt", "remixed_from_video_id", "id", "task_id", text]
    place = dice.choice(names)
    failure = {"status": "failed", "error": {"code": text, "message": f"{text} at {SIGNED}{SIGNATURE}"}}
    video = {**VIDEO, **dice.choice([{place: text}, {place: text}, failure, {"metadata": {"url": text, text: [text]}}])}
    return [video, {"code": "success", "data": video}, {"data": [video], "has_more": True, "last_id": text}, [video]]


def in_json(spellings: Spellings, text: str) -> bytes:
    dice = spellings.dice
    if dice.random() < 0.5:
        status = dice.choice([200, 201, 202, 400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 524])
        return json_answer(spellings, status, dice.choice(errors_with(text)))
    return json_answer(spellings, dice.choice([200, 200, 200, 202, 400]), dice.choice(videos_with(text, dice)))


def in_balance(spellings: Spellings, text: str) -> bytes:
    nested: Any = text
    for _ in range(spellings.dice.randrange(4)):
        nested = spellings.dice.choice([[nested], {text: nested}, {"data": nested}])
    return json_answer(spellings, 200, {"available_balance": spellings.dice.choice([text, 5]), "more": nested})


def in_text(spellings: Spellings, text: str) -> bytes:
    kind = spellings.dice.choice(["text/plain", "text/html", "application/json", text])
    page = spellings.dice.choice([f"<html>{text}</html>", text, f'{{"error": {text}', f"error: {text}"])
    encoding = spellings.dice.choice(["utf-8", "utf-16", "utf-16-le", "latin-1"])
    return http(spellings.dice.choice([200, 401, 500]), page.encode(encoding), {"Content-Type": no_line(kind)})


def in_status(spellings: Spellings, text: str) -> bytes:
    lines = ["HTTP/1.1 401 {}", "HTTP/1.1 {} No", "HTTP/{} 200 OK", "{}", "{} 200 OK", "HTTP/1.1 2{} x"]
    line = spellings.dice.choice(lines)
    return f"{line.format(no_line(text))}\r\nContent-Length: 2\r\n\r\n{{}}".encode()


def in_header(spellings: Spellings, text: str) -> bytes:
    text = no_line(text)
    names = ["X-Request-Id", "X-Oneapi-Request-Id", "Content-Type", "Content-Encoding", "Content-Length", "Retry-After"]
    names += ["Content-Range", "ETag", "Transfer-Encoding", "Set-Cookie", "WWW-Authenticate", "Date", "Connection"]
    name = spellings.dice.choice(names)
    lines = [f"{name}: {text}", f"{name}: {text}", f"{text}: 1", text, f"X-\x01{text}: 1", f" {text}"]
    line = spellings.dice.choice(lines)
    body = spellings.dice.choice([b'{"error": {"message": "no"}}', json.dumps(VIDEO).encode(), b"<html>"])
    return head(spellings.dice.choice(["200 OK", "401 No", "206 Part"]), line, f"Content-Length: {len(body)}") + body


def in_framing(spellings: Spellings, text: str) -> bytes:
    text, video = no_line(text), json.dumps(VIDEO).encode()
    chunk = f"{len(video):x}".encode() + b"%b\r\n" + video + b"\r\n%b"
    whole = chunk % (b"", b"0\r\n\r\n")
    cut = [chunk % (b"", text.encode()), chunk % (f";{text}".encode(), b"0\r\n\r\n"), f"{text}\r\n".encode() + whole]
    cut += [chunk % (b"", f"{text}\r\n".encode()), chunk % (b"", f"0\r\n{text}: 1\r\n\r\n".encode())]
    cut += [f"-{text}\r\n".encode()]
    if spellings.dice.random() < 0.6:
        return head("200 OK", "Transfer-Encoding: chunked") + spellings.dice.choice(cut)
    return head("200 OK", f"Content-Length: {len(video)}") + video + text.encode()  # more than announced


def in_location(spellings: Spellings, text: str) -> bytes:
    text = no_line(text)
    urls = ["http://{}/", "http://{}.example/", "http://127.0.0.1:9/{}", "https://127.0.0.1:9/a?b={}", "/{}", "/x?{}"]
    urls += [
        "/x#{}",
        "{}://h/",
        "//{}",
        "//user:{}@h/",
        "http://127.0.0.1:{}/",
        "{}",
        "http://[{}]/",
        "?{}",
        "http://h\\{}",
    ]
    location = spellings.dice.choice(urls).format(text)
    status = spellings.dice.choice(["301 Moved", "302 Found", "307 Other", "308 Other"])
    return head(status, f"Location: {location}", "Content-Length: 0")


PLACES: dict[str, Callable[[Spellings, str], bytes]] = {
    f.__name__: f for f in (in_json, in_json, in_balance, in_text, in_status, in_header, in_framing, in_location)
}


def calls() -> list[routes.Call[Any]]:
    create = routes.create_video("any", "a cat", {})
    return [
        create,
        routes.get_video("video_1"),
        routes.list_videos(),
        routes.delete_video("video_1"),
        routes.get_content("video_1"),
        routes.get_balance(),
        routes.list_models(),
        routes.remix_video("video_1", "a dog"),
    ]


def meet(tasks: Tasks) -> None:
    """Send every call with both clients, and take what leaves."""
    hook = WisdomGateHook()

    def read_content() -> bytes:
        with hook.open_content("video_1") as content:
            return b"".join(content.chunks()) and b""  # the clip's bytes are the gateway's to choose

    async def send_all() -> None:
        async with AsyncClient(WisdomGateHook().settings, QUICK) as client:
            for call in calls():
                try:
                    take(tasks, await client.send(call, ONCE))
                except Exception as error:
                    take(tasks, error)

    for call in calls():
        take(tasks, tasks_end(lambda call=call: hook.client.send(call, ONCE)))  # type: ignore[misc]
    take(tasks, tasks_end(read_content))
    take(tasks, tasks_end(hook.list_videos))
    take(tasks, tasks_end(hook.test_connection))
    asyncio.run(send_all())
    hook.client.close()


def take(tasks: Tasks, what: Any) -> None:
    """Take what leaves. A raw error of a library is none of ours."""
    assert not isinstance(what, Exception) or isinstance(what, errors.WisdomGateError), repr(what)
    tasks.net.take(what)


def tasks_end(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Exception as error:
        return error


def meet_as_tasks(tasks: Tasks, answer_of: dict[str, bytes], spelled: bytes) -> None:
    """Meet an answer in whole tasks, deferred ones and commands, on each route in turn."""
    for route in ("create", "poll", "content"):
        answer_of.clear()
        answer_of[route] = spelled
        tasks.generate("")
        tasks.generate("", deferrable=True)
        if route != "create":
            tasks.download("video_1")
            tasks.sense("video_1", deferrable=True)
        made = put_manifest(manifest(tasks.place(), "created", video_id="video_1"))
        for argv in (["fetch", made.uri, "--timeout", "0.05"], ["show", made.uri], ["show", made.uri, "-o", "json"]):
            command(tasks.net, "clips", *argv)
    answer_of.clear()
    for record in tasks.local.folder.glob("*.json"):
        command(tasks.net, "clips", "show", str(record).removesuffix(".json"))


def command(net: Net, *argv: str) -> None:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), suppress(SystemExit):
        arguments = parser().parse_args(argv)
        arguments.func(arguments)
    net.pieces += [out.getvalue(), err.getvalue()]


def route_of(request: Request) -> str:
    return "create" if request.method == "POST" else "content" if request.path.endswith("/content") else "poll"


def found_leaks(net: Net, tasks: Tasks) -> list[str]:
    pieces = {*net.pieces, *(path.read_text(errors="replace") for path in tasks.local.folder.rglob("*.json"))}
    return [piece[:3000] for piece in pieces if leaks(MARK, piece) or SIGNATURE in piece]


@pytest.fixture
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "DOWNLOAD_RETRIES", ONCE)


@pytest.mark.parametrize("batch", range(max(1, COUNT // BATCH)))
def test_no_spelling_of_the_key_leaves(
    batch: int, tasks: Tasks, net: Net, marked: Callable[..., None], impatient: None, quick_to_give_up: None
) -> None:
    spellings, answer_of = Spellings(random.Random(f"{SEED}.{batch}")), dict[str, bytes]()
    default = {"create": http(200, json.dumps(VIDEO).encode()), "poll": http(200, DONE)}

    def answer(request: Request) -> bytes:
        route = route_of(request)
        return answer_of.get(route) or answer_of.get("all") or default.get(route) or http(404)

    with scripted(answer) as gateway:
        marked(host=gateway.url, extra={"timeout": 5})
        for number in range(BATCH):
            place = spellings.dice.choice(sorted(PLACES))
            spelled = PLACES[place](spellings, spellings.text(KEY))
            answer_of.clear()
            answer_of["all"] = spelled
            meet(tasks)
            if number % WHOLE == 0:
                meet_as_tasks(tasks, answer_of, spelled)
            assert found_leaks(net, tasks) == [], f"SEED={SEED}, batch {batch}, number {number}: {place} {spelled!r}"
            net.pieces.clear()
            net.local_variables.clear()
    print(f"SEED={SEED} batch {batch}: {len(spellings.used)} forms")
