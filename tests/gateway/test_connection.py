"""From an Airflow connection to a request: what is read, what is sent, what the form and the Test button show."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import made, told

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.connection import read_settings_async
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox

Connect = Callable[..., dict[str, Any]]
KEY = "sk-very-secret-0123456789"


def poll_async(hook: WisdomGateHook, video_id: str) -> str | None:
    async def poll() -> str | None:
        async with AsyncClient(await read_settings_async(hook.wisdomgate_conn_id)) as client:
            return (await client.send(routes.get_video(video_id))).status

    return asyncio.run(poll())


@pytest.mark.parametrize(
    ("host", "port", "base_url"),
    [
        (None, None, f"{DEFAULT_BASE_URL}/v1"),
        ("", None, f"{DEFAULT_BASE_URL}/v1"),
        ("https://api.wisgate.ai", None, "https://api.wisgate.ai/v1"),
        ("https://api.wisgate.ai/", None, "https://api.wisgate.ai/v1"),
        ("https://api.wisgate.ai/v1", None, "https://api.wisgate.ai/v1"),
        ("https://api.wisgate.ai/v1/", None, "https://api.wisgate.ai/v1"),
        ("https://proxy.example/videos/v1", None, "https://proxy.example/videos/v1"),
        ("api.wisgate.ai", None, "https://api.wisgate.ai/v1"),
        ("http://127.0.0.1", 8080, "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:9090", 8080, "http://127.0.0.1:9090/v1"),
    ],
)
def test_a_base_url_is_completed_from_whatever_form_it_has(
    host: str | None, port: int | None, base_url: str, connect: Connect
) -> None:
    connect(host=host, port=port)
    hook = WisdomGateHook()
    assert (hook.settings.base_url, asyncio.run(read_settings_async("wisdomgate_default")).base_url) == (
        base_url,
        base_url,
    )


@pytest.mark.parametrize("host", ["ftp://gateway", "http://", "https://user:pw@gateway", "https:///v1"])
def test_a_host_that_is_no_url_is_refused_before_any_request(host: str, connect: Connect) -> None:
    connect(host=host)
    with pytest.raises(errors.ConfigurationError, match=r"Base URL \(host\)"):
        _ = WisdomGateHook().settings


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        (f"wisdomgate://:{KEY}@", f"{DEFAULT_BASE_URL}/v1"),
        (f"wisdomgate://:{KEY}@https%3A%2F%2Fapi.wisgate.ai%2Fv1", "https://api.wisgate.ai/v1"),
        (f"wisdomgate://:{KEY}@gateway.example:8443", "https://gateway.example:8443/v1"),
    ],
)
def test_a_connection_given_as_a_uri_is_read_like_one_given_as_json(
    uri: str, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", f"{uri}/?timeout=7&storage_path=%2Fclips&X-Team=films")
    assert WisdomGateHook().settings == Settings(
        base_url, KEY, timeout=7.0, storage_path="/clips", headers={"X-Team": "films"}
    )


def test_every_field_of_a_connection_is_read_alike_by_the_hook_and_the_trigger(
    connect: Connect, tmp_path: Path
) -> None:
    ca, cert, key = (str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key"))
    for path in (ca, cert, key):
        Path(path).touch()
    connect(
        host="https://gateway.example",
        password=KEY,
        extra={
            "timeout": "12.5",
            "requests_per_minute": 50,
            "storage_path": "s3://aws_default@bucket/videos",
            "proxies": {"https": "http://proxy:3128"},
            "verify": ca,
            "cert": [cert, key],
            "trust_env": False,
            "X-Team": "films",
        },
    )
    settings = Settings(
        base_url="https://gateway.example/v1",
        api_key=KEY,
        timeout=12.5,
        requests_per_minute=50,
        storage_path="s3://aws_default@bucket/videos",
        headers={"X-Team": "films"},
        proxies={"https": "http://proxy:3128"},
        verify=ca,
        cert=(cert, key),
        trust_env=False,
    )
    assert WisdomGateHook().settings == settings
    assert asyncio.run(read_settings_async("wisdomgate_default")) == settings


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"verify": 0}, "extra 'verify' must be true, false or the path of a CA bundle, not 0"),
        ({"verify": "/no/ca.pem"}, "extra 'verify' names '/no/ca.pem', and no such file is on this machine"),
        ({"cert": "/no/client.pem"}, "extra 'cert' names '/no/client.pem', and no such file"),
        ({"cert": ["/no/client.pem"]}, "extra 'cert' must be a path, or the paths of certificate and key"),
        ({"cert": [__file__, "/no/client.key"]}, "extra 'cert' names '/no/client.key', and no such file"),
    ],
)
def test_a_certificate_that_is_not_there_is_said_before_any_request(
    extra: dict[str, Any], said: str, connect: Connect
) -> None:
    connect(extra=extra)
    with pytest.raises(errors.ConfigurationError, match=said):
        _ = WisdomGateHook().settings
    with pytest.raises(errors.ConfigurationError, match=said):
        asyncio.run(read_settings_async("wisdomgate_default"))


@pytest.mark.parametrize(("text", "value"), [("false", False), ("False", False), ("true", True)])
def test_a_flag_that_came_as_text_is_read_as_a_flag(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", f"wisdomgate://:{KEY}@/?verify={text}&trust_env={text}")
    settings = WisdomGateHook().settings
    assert (settings.verify, settings.trust_env) == (value, value)


def test_null_and_empty_extras_count_as_unset(connect: Connect) -> None:
    unset = {"storage_path": None, "requests_per_minute": None, "timeout": "", "proxies": None, "verify": None}
    connect(host="https://gateway.example", password=KEY, extra={**unset, "X-Team": None})
    assert WisdomGateHook().settings == Settings("https://gateway.example/v1", KEY)


def test_a_missing_connection_is_named_with_the_command_that_adds_it() -> None:
    def read_async() -> Settings:
        return asyncio.run(read_settings_async("no_such"))

    for read in (lambda: WisdomGateHook("no_such").settings, read_async):
        with pytest.raises(errors.ConfigurationError, match="airflow connections add no_such --conn-type wisdomgate"):
            read()


@pytest.mark.parametrize("key", [None, ""])
def test_a_connection_without_a_key_says_where_to_put_it(key: str | None, connect: Connect, sandbox: Sandbox) -> None:
    connect(password=key)
    with pytest.raises(errors.ConfigurationError, match=r"has no API key.*password field"):
        WisdomGateHook().get_video("video_1")
    assert sandbox.requests() == []


@pytest.mark.parametrize("name", ["timeout", "requests_per_minute"])
@pytest.mark.parametrize("value", [0, -1, "soon", [1], True, "nan", "inf"])
def test_a_number_of_the_connection_that_is_none_is_named(name: str, value: Any, connect: Connect) -> None:
    connect(extra={name: value})
    with pytest.raises(errors.ConfigurationError, match=f"extra '{name}' must be a number above 0"):
        _ = WisdomGateHook().settings


def test_a_timeout_that_no_socket_can_wait_is_named(connect: Connect) -> None:
    connect(extra={"timeout": 1e12})
    with pytest.raises(errors.ConfigurationError, match="extra 'timeout' must be a number above 0 and at most 86400"):
        _ = WisdomGateHook().settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [("request_per_minute", "requests_per_minute"), ("storage-path", "storage_path"), ("Timeouts", "timeout")],
)
def test_a_misspelt_extra_is_no_header(name: str, meant: str, connect: Connect) -> None:
    connect(extra={name: "5", "X-Timeout": "5", "X-Storage-Path": "mine"})
    with pytest.raises(errors.ConfigurationError, match=f"no extra '{name}'; .* Write '{meant}'"):
        _ = WisdomGateHook().settings


@pytest.mark.parametrize("folder", ["~/clips", "clips"])
def test_a_storage_path_that_is_not_absolute_is_named(folder: str, connect: Connect, sandbox: Sandbox) -> None:
    connect(extra={"storage_path": folder})
    with pytest.raises(errors.ConfigurationError, match=f"The storage path '{folder}' must be absolute"):
        WisdomGateHook().download_video("video_1", "cat.mp4")
    assert sandbox.requests() == []


@pytest.mark.parametrize("value", ["xml", "JSON", 1, ["form"]])
def test_an_encoding_of_creates_that_is_none_is_refused(value: Any, connect: Connect) -> None:
    connect(extra={"create_as": value})
    with pytest.raises(errors.ConfigurationError, match="extra 'create_as' must be 'form' or 'json'"):
        _ = WisdomGateHook().settings


@pytest.mark.parametrize("value", ["url", "Either", 1, ["route"]])
def test_a_source_of_content_that_is_none_is_refused(value: Any, connect: Connect) -> None:
    connect(extra={"content_from": value})
    with pytest.raises(errors.ConfigurationError) as caught:
        _ = WisdomGateHook().settings
    assert f"extra 'content_from' must be 'route', 'address' or 'either', not {value!r}" in str(caught.value)


def test_the_connection_says_how_a_create_is_encoded(connect: Connect, sandbox: Sandbox) -> None:
    connect(extra={"create_as": "form"})
    made(WisdomGateHook())
    headers = sandbox.requests()[0]["headers"]
    assert headers["content-type"].startswith("multipart/form-data")
    assert not {"create_as", "create-as"} & headers.keys()


def test_our_own_extras_are_never_sent_as_headers_and_the_users_are(
    connect: Connect, sandbox: Sandbox, quick: None
) -> None:
    extra = {"timeout": 30, "requests_per_minute": 500, "storage_path": "/clips", "X-Team": "films"}
    connect(extra={**extra, "upload_args": {"ACL": "private"}})
    hook = WisdomGateHook()
    assert poll_async(hook, made(hook)) == "completed"
    hook.get_balance()
    create, poll, balance = (request["headers"] for request in sandbox.requests())
    own = {"timeout", "requests_per_minute", "storage_path", "requests-per-minute", "storage-path", "upload_args"}
    assert [sorted(own & headers.keys()) for headers in (create, poll, balance)] == [[], [], []]
    assert [headers["x-team"] for headers in (create, poll, balance)] == ["films", "films", "films"]
    assert {headers["user-agent"].partition("/")[0] for headers in (create, poll)} == {"airflow-provider-wisdomgate"}


def test_both_clients_send_the_same_headers(connect: Connect, sandbox: Sandbox, quick: None) -> None:
    connect(extra={"X-Team": "films"})
    hook = WisdomGateHook()
    video_id = made(hook)
    hook.get_video(video_id)
    poll_async(hook, video_id)
    first, second = (request["headers"] for request in sandbox.requests()[1:])
    beside = {"connection", "accept"}  # the libraries' own
    assert {name: value for name, value in first.items() if name not in beside} == {
        name: value for name, value in second.items() if name not in beside
    }


def test_the_connections_key_wins_over_a_netrc_entry_for_the_host(
    hook: WisdomGateHook, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    video_id = made(hook)
    assert (hook.get_video(video_id).status, poll_async(hook, video_id)) == ("completed", "completed")
    assert hook.get_conn().get(f"{sandbox.url}/v1/models", timeout=5).status_code == 200
    assert sandbox.counts()["unauthorized"] == 0


def test_the_hooks_session_has_all_that_the_connection_names(connect: Connect, tmp_path: Path) -> None:
    extra = {
        "proxies": {"https": "http://proxy:3128"},
        "verify": "false",
        "cert": str(tmp_path),
        "trust_env": "false",
        "X-Team": "films",
    }
    connect(extra={**extra, "timeout": 3, "requests_per_minute": 9})
    hook = WisdomGateHook()
    session, settings = hook.get_conn(), hook.settings
    assert (session.proxies, session.verify, session.cert, session.trust_env) == (
        settings.proxies,
        settings.verify,
        settings.cert,
        settings.trust_env,
    )
    plain = {name.lower() for name in ("User-Agent", "Accept-Encoding", "Accept", "Connection")}
    sent = {name: value for name, value in session.headers.items() if name.lower() not in plain}
    assert sent == {"X-Team": "films", "Authorization": f"Bearer {settings.api_key}"}


# The Test button


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything with one page: the status and the text that its server has."""

    def do_GET(self) -> None:
        body = self.server.text.replace("{authorization}", self.headers.get("Authorization", "")).encode()  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(text: str, status: int = 200) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.text, server.status = text, status  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_test_button_tells_the_balance_for_a_good_key_and_pays_nothing(
    hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    works = f"The key works at {sandbox.url}/v1; available balance: 1000.0."
    assert hook.test_connection() == (True, works)
    asked = {name: count for name, count in sandbox.counts().items() if count}
    assert asked == {"balance": 1, "max_in_flight": 1}


def test_the_test_button_names_a_bad_key_and_asks_once(connect: Connect, sandbox: Sandbox) -> None:
    connect(password=KEY)
    works, message = WisdomGateHook().test_connection()
    assert (works, "API key (password) field" in message, KEY in message) == (False, True, False)
    assert len(sandbox.requests()) == 1


UNREADABLE = ["wisdomgate://:{}/x@host", "wisdomgate://:{}@host:port/", "wisdomgate://:{}@[::1"]
UNREADABLE += ['{{"password": "{}"', '{{"{}": 1}}']


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_connection_that_airflow_cannot_read_is_not_called_missing(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", text.format(KEY))
    works, message = WisdomGateHook().test_connection()
    assert (works, KEY in message) == (False, False)
    assert message.startswith(
        "Airflow cannot read the connection 'wisdomgate_default' in the environment variable "
        "AIRFLOW_CONN_WISDOMGATE_DEFAULT. "
    )


def test_the_test_button_names_a_missing_key(connect: Connect) -> None:
    connect(password=None)
    works, message = WisdomGateHook().test_connection()
    assert (works, "has no API key" in message) == (False, True)


def test_the_test_button_names_an_unreachable_host(connect: Connect) -> None:
    connect(host="http://127.0.0.1:9")
    works, message = WisdomGateHook().test_connection()
    assert (works, message.startswith("No connection to http")) == (False, True)


def test_the_test_button_names_a_wrong_path(connect: Connect, sandbox: Sandbox) -> None:
    connect(host=f"{sandbox.url}/nowhere")
    assert WisdomGateHook().test_connection() == (
        False,
        f"{sandbox.url}/nowhere/v1 answers (HTTP 404), but not as a video gateway: check the path in the Base URL. "
        f"A good one is {DEFAULT_BASE_URL}.",
    )


@pytest.mark.parametrize(("status", "text"), [(200, "<html>Welcome</html>"), (200, ""), (404, "<html>no</html>")])
def test_the_test_button_names_a_host_that_is_no_gateway(status: int, text: str, connect: Connect) -> None:
    with serving(text, status) as url:
        connect(host=url)
        works, message = WisdomGateHook().test_connection()
    assert (works, message.startswith(f"{url}/v1 answers (HTTP {status}), but not as a video gateway")) == (False, True)


def test_the_test_button_tells_of_a_gateway_in_trouble(connect: Connect) -> None:
    with serving("<html>Bad gateway</html>", 502) as url:
        connect(host=url)
        works, message = WisdomGateHook().test_connection()
    assert (works, "HTTP 502" in message) == (False, True)


def test_a_gateway_that_quotes_the_key_does_not_get_it_into_an_error(connect: Connect) -> None:
    with serving(json.dumps({"error": {"message": "Invalid token {authorization}", "code": "x"}}), 401) as url:
        connect(host=url, password=KEY)
        hook = WisdomGateHook()

        async def poll() -> Any:
            async with AsyncClient(hook.settings) as client:
                return await client.send(routes.get_video("video_1"), ONCE)

        for ask in (lambda: hook.get_video("video_1"), lambda: asyncio.run(poll())):
            with pytest.raises(errors.AuthenticationError, match=r"Invalid token Bearer \*\*\*") as caught:
                ask()
            assert KEY not in told(caught.value)
        assert KEY not in repr(hook.settings)
