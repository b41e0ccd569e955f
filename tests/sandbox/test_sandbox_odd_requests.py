"""What the sandbox answers to requests that are not as they should be, and that none of them harms the next one."""

from __future__ import annotations

import socket
import subprocess
import sys
import tracemalloc
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from gateway_calls import asked, call, content, create, made, poll, whole_clip

from airflow_provider_wisdomgate.sandbox import Sandbox, outages

JSON, FORM = "application/json", "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("content_type", "body", "param"),
    [
        ("text/plain", b"a cat", "Content-Type"),
        ("", b"a cat", "Content-Type"),
        (JSON, b"[" * 100_000, "body"),
        (JSON, b'{"model": "any", "prompt": "half \\ud83d"}', "body"),
        (JSON, b'{"model": "any", "prompt": "a cat", "x": NaN}', "body"),
        (FORM, b"no form", "body"),
        (JSON, b'{"model": "any", "prompt": "a [sandbox: fail=no/word] cat"}', "prompt"),
    ],
)
def test_a_create_that_cannot_be_read_is_refused_and_nothing_is_made(
    sandbox: Sandbox, content_type: str, body: bytes, param: str
) -> None:
    reply = call(sandbox, "POST", "/v1/videos", data=body, headers={"Content-Type": content_type})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert asked(sandbox) == {"create_requests": 1, "max_in_flight": 1}
    listed = call(sandbox, "GET", "/v1/videos")
    assert (listed.status_code, listed.json()["data"]) == (200, [])


@pytest.mark.parametrize("fields", [{}, {"prompt": "  "}, {"prompt": 5}])
def test_a_remix_without_a_prompt_is_refused_by_name(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    reply = call(sandbox, "POST", f"/v1/videos/{made(sandbox)}/remix", json=fields)
    assert (reply.status_code, reply.json()["error"]["param"], sandbox.counts()["remixes"]) == (400, "prompt", 0)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"limit": limit}, "limit") for limit in ("0", "101", "-1", "few", "", "²", "9" * 5000)),
        ({"after": "video_unknown"}, "after"),
    ],
)
def test_a_page_that_cannot_be_listed_is_refused_by_name(sandbox: Sandbox, query: dict[str, str], param: str) -> None:
    reply = call(sandbox, "GET", "/v1/videos", params=query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_videos_are_listed_the_oldest_first_where_that_is_asked_for(sandbox: Sandbox) -> None:
    ids = [made(sandbox, f"cat {number}") for number in range(3)]
    first = call(sandbox, "GET", "/v1/videos", params={"order": "asc", "limit": 2}).json()
    rest = call(sandbox, "GET", "/v1/videos", params={"order": "asc", "after": first["last_id"]}).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == ids


def test_a_range_of_thousands_of_digits_is_none(sandbox: Sandbox) -> None:
    reply = content(sandbox, made(sandbox), headers={"Range": f"bytes={'9' * 5000}-"})
    assert (reply.status_code, reply.content) == (200, whole_clip())


def test_a_variant_is_refused_where_the_gateway_has_none() -> None:
    with Sandbox(dialect="sglang", render_seconds=0.0) as sandbox:
        reply = content(sandbox, made(sandbox), params={"variant": "thumbnail"})
        assert (reply.status_code, reply.json()) == (404, {"detail": "Video variant not found"})


def test_the_requests_are_told_over_http(sandbox: Sandbox) -> None:
    create(sandbox)
    told = requests.get(f"{sandbox.url}/_sandbox/requests", timeout=5).json()
    assert (told, len(told)) == (sandbox.requests(), 1)


def test_a_limit_lets_in_again_once_the_minute_is_over(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.limit(1)
    assert [call(sandbox, "GET", "/v1/models").status_code for _ in range(2)] == [200, 429]
    monkeypatch.setattr(outages, "WINDOW_SECONDS", 0.0)  # all that was before is over
    assert call(sandbox, "GET", "/v1/models").status_code == 200


def test_a_client_that_reads_slowly_does_not_make_the_sandbox_hold_the_clip(sandbox: Sandbox) -> None:
    size = 100_000_000
    video_id = made(sandbox, f"a cat [sandbox: bytes={size} content=cut-close]")
    poll(sandbox, video_id)
    head = f"GET /v1/videos/{video_id}/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.api_key}\r\n\r\n"
    tracemalloc.start()
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), timeout=10) as plain:
            plain.sendall(head.encode())
            read = 0
            while piece := plain.recv(65536):
                read += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read > size // 2
    assert peak < size // 8


# ------------------------------------------------------------------------------------------------ start and end

# Leaves room for so many files, starts a sandbox at a fixed port, and then, with room, once more.
SHORT_OF_FILES = """
import os, resource, socket, sys, threading
from airflow_provider_wisdomgate.sandbox import Sandbox

with socket.create_server(("127.0.0.1", 0)) as free:
    sandbox = Sandbox(port=free.getsockname()[1])
threading.excepthook = lambda told: None
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
next_file = os.dup(0)
os.close(next_file)
resource.setrlimit(resource.RLIMIT_NOFILE, (next_file + int(sys.argv[1]), limits[1]))
try:
    sandbox.start()
except (OSError, RuntimeError) as error:
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    sandbox.start()
    sandbox.stop()
    print(error)
"""


@pytest.mark.parametrize(
    ("files", "words"), [(1, "Too many open files"), (2, "the sandbox did not start")], ids=["port", "loop"]
)
def test_a_sandbox_that_could_not_start_leaves_its_port_free_and_can_be_started(files: int, words: str) -> None:
    command = [sys.executable, "-c", SHORT_OF_FILES, str(files)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, words in ran.stdout) == (0, True), ran.stdout + ran.stderr


def test_a_sandbox_that_runs_is_not_started_again(sandbox: Sandbox) -> None:
    url = sandbox.url
    with pytest.raises(RuntimeError, match="runs already"):
        sandbox.start()
    assert (sandbox.url, call(sandbox, "GET", "/v1/models").status_code) == (url, 200)


def command_after(code: str) -> subprocess.Popen[str]:
    program = f"import sys; {code}; from airflow_provider_wisdomgate.sandbox.cli import main; sys.exit(main())"
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", program], text=True, **pipes)


def test_the_command_tells_people_its_url_and_key_and_that_it_is_no_gateway() -> None:
    with command_after("pass") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    url = line.partition(" at ")[2].partition(",")[0]
    assert (urlsplit(url).hostname, "'sandbox-key'" in line, "No gateway" in line) == ("127.0.0.1", True, True)


def test_the_command_without_the_extra_says_how_to_install_it() -> None:
    with command_after("sys.modules['uvicorn'] = None") as process:
        _, told = process.communicate(timeout=60)
    assert (process.returncode, "pip install 'airflow-provider-wisdomgate[sandbox]'" in told) == (1, True)
    assert "Traceback" not in told
