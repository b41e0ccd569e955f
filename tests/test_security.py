"""The key is in the requests and nowhere else: through success and every fault, all that can be read is searched."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from support import IMPATIENT, SMALL, LocalPlace, answering, asked, fire, resume

try:
    import structlog
except ImportError:  # Airflow 2 logs by the standard library alone
    structlog = None  # type: ignore[assignment]

import airflow_provider_wisdomgate
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import (
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
)
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.directives import FAULTS
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

PACKAGE = Path(airflow_provider_wisdomgate.__file__).parent
# Whatever quotes, escapes or encodes the key leaves its letters together.
MARK = "m4rk3rQ7fZ"
KEY = f"sk-{MARK}/%s+x=="
# Without an answer, or with half of one: once is enough, ten in a row would be seconds.
SILENT = ("hang", "slow", "stall", "drop")


class Net:
    """Gathers what is said while it is open, in words of any kind."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.local_variables: list[str] = []

    def take(self, what: Any) -> None:
        """Take a value or an error, in every way that it may be written down."""
        if isinstance(what, BaseException):
            self.pieces += told(what)
            self.local_variables += shown_by_reporters(what)
        else:
            self.pieces += [str(what), repr(what), repr(getattr(what, "__dict__", ""))]

    def finds(self) -> list[str]:
        """Return where the key is."""
        return found(MARK, [*self.pieces, *self.local_variables])


def found(word: str, pieces: list[str]) -> list[str]:
    return [piece[max(piece.find(word) - 200, 0) :][:300] for piece in pieces if word in piece]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that a traceback shows above it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def told(error: BaseException) -> list[str]:
    """Say all that an error tells by itself."""
    pieces = ["".join(traceback.format_exception(error))]
    for link in chain(error):
        pieces += [str(link), repr(link), str(link.args), str(vars(link))]
        if isinstance(link, errors.WisdomGateError):
            pieces += [repr(pickle.dumps(link)), json.dumps(link.as_dict())]
    return pieces


def shown_by_reporters(error: BaseException) -> list[str]:
    """Say what error reporters add to it: the local variables, here of our own functions."""
    frames = [frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename.startswith(str(PACKAGE))]
    return [f"{frame.f_code.co_qualname}: {frame.f_locals!r}" for frame in ours]


class Listener(logging.Handler):
    """Writes every record into the net, with its traceback and its arguments."""

    def __init__(self, net: Net) -> None:
        super().__init__(logging.DEBUG)
        self.net = net

    def emit(self, record: logging.LogRecord) -> None:
        self.net.pieces += [self.format(record), repr(record.args)]


@pytest.fixture
def net(capfd: pytest.CaptureFixture[str]) -> Iterator[Net]:
    """A net that hears every logger at its most talkative, and standard output."""
    net = Net()
    listener = Listener(net)
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    heard = [logger for logger in loggers if logger is logging.root or not logger.propagate]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    for logger in heard:
        logger.addHandler(listener)
    if structlog:  # writes to standard output here
        usual = structlog.get_config()["wrapper_class"]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    yield net
    if structlog:
        structlog.configure(wrapper_class=usual)
    for logger in heard:
        logger.removeHandler(listener)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled


@pytest.fixture(scope="module")
def gateway() -> Iterator[Sandbox]:
    """A gateway whose key is the marked one."""
    with Sandbox(KEY) as gateway:
        yield gateway


@pytest.fixture
def marked(gateway: Sandbox, connect: Callable[..., Any], quick: None) -> Callable[..., None]:
    """Put the marked key into the default connection."""
    gateway.reset()

    def set_connection(**fields: Any) -> None:
        connect(**{"host": gateway.url, "password": KEY, **fields})

    set_connection()
    return set_connection


class Tasks:
    """Every way to use the package, each with all it leaves behind put into the net."""

    def __init__(self, net: Net, local: LocalPlace, context: Any) -> None:
        self.net, self.local, self.context = net, local, context
        self.number = 0

    def end(self, act: Callable[[], Any]) -> Any:
        try:
            result = act()
        except Exception as error:
            result = error
        self.net.take(result)
        return result

    def run(self, kind: Any, **arguments: Any) -> Any:
        """Run a task to its end, in a new object after each deferral, as Airflow does."""

        def work() -> Any:
            context, operator = self.context(), kind(**arguments)
            try:
                return operator.execute(context)
            except TaskDeferred as deferral:
                event = fire(deferral)
                for left in (deferral.trigger.serialize(), vars(deferral.trigger), deferral.kwargs, event):
                    self.net.take(left)
                return resume(kind(**arguments), deferral, event, context)
            finally:
                for left in (operator, operator.hook, [getattr(operator, name) for name in operator.template_fields]):
                    self.net.take(left)
                if "client" in vars(operator.hook):
                    self.net.take(operator.hook.client)

        return self.end(work)

    def place(self) -> str:
        self.number += 1
        return self.local.uri(f"{self.number}.mp4")

    def create(self, directives: str) -> Any:
        return self.run(WisdomGateCreateVideoOperator, task_id="create", prompt=asked(directives), **SMALL)

    def generate(self, directives: str, deferrable: bool = False) -> Any:
        return self.run(
            WisdomGateGenerateVideoOperator,
            task_id="generate",
            prompt=asked(directives),
            destination=self.place(),
            deferrable=deferrable,
            poll_interval=0.001,
            timeout=0.1,
            **SMALL,
        )

    def sense(self, video_id: str, **mode: Any) -> Any:
        pace = {"poke_interval": 0.001, "timeout": 0.1}
        return self.run(WisdomGateVideoSensor, task_id="wait", video_id=video_id, **pace, **mode)

    def download(self, video_id: str) -> Any:
        return self.run(
            WisdomGateDownloadVideoOperator, task_id="download", video_id=video_id, destination=self.place()
        )

    def close(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Add the files, and what was printed."""
        self.net.pieces += [str(path) for path in self.local.folder.rglob("*")]
        self.net.pieces += [repr(path.read_bytes()) for path in self.local.folder.rglob("*.json")]
        self.net.pieces += capfd.readouterr()


@pytest.fixture
def tasks(net: Net, local: LocalPlace, context: Any, marked: Any) -> Tasks:
    return Tasks(net, local, context)


def ways(tasks: Tasks, route: str, fault: str, made: Callable[[], str]) -> list[Any]:
    """Meet a fault of a route in every way, and return the ends."""
    directives = f"render=0 {route}={fault}"
    if route == "create":
        return [tasks.create(directives), tasks.generate(directives)]
    generated = [tasks.generate(directives), tasks.generate(directives, deferrable=True)]
    if route == "content":
        return [*generated, tasks.download(made())]
    sensed = [tasks.sense(made()), tasks.sense(made(), deferrable=True)]
    poll = routes.get_video(made())
    return [*generated, *sensed, tasks.end(lambda: WisdomGateHook().client.send(poll, ONCE))]


EVERY = [(route, fault.name) for fault in FAULTS for route in fault.routes]


@pytest.mark.parametrize(("route", "fault"), EVERY, ids=lambda value: value)
def test_no_fault_brings_the_key_to_light(
    route: str,
    fault: str,
    tasks: Tasks,
    net: Net,
    gateway: Sandbox,
    marked: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def made() -> str:
        hook = WisdomGateHook()
        return hook.create_video(prompt=asked(f"render=0 {route}={turns}"), **SMALL).id

    turns = f"{fault}x1" if fault in SILENT else fault
    if fault in SILENT:
        marked(extra={"timeout": IMPATIENT})
    if route == "create" and fault in ("hang", "slow"):  # a create has minutes: only as a single call
        call = routes.create_video("any", asked(f"create={turns}"), {"seconds": "1", "size": "64x48"})
        ends = [tasks.end(lambda: WisdomGateHook().client.send(replace(call, timeout=IMPATIENT)))]
    else:
        ends = ways(tasks, route, turns, made)
    tasks.close(capfd)
    assert net.finds() == []
    assert gateway.counts()["unauthorized"] == 0  # it was sent
    assert [end for end in ends if isinstance(end, Exception) and not isinstance(end, AirflowException)] == []


def test_success_does_not_bring_the_key_to_light(
    tasks: Tasks, net: Net, gateway: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    video_id = tasks.create("render=0")
    ends = [
        tasks.generate("render=0.05"),
        tasks.generate("render=0.05", deferrable=True),
        tasks.sense(tasks.create("render=0.05")),
        tasks.sense(tasks.create("render=0.05"), deferrable=True),
        tasks.sense(video_id, mode="reschedule"),
        tasks.download(video_id),
        *map(tasks.end, (WisdomGateHook().list_videos, WisdomGateHook().get_balance, WisdomGateHook().test_connection)),
        tasks.end(lambda: WisdomGateHook().remix_video(video_id, "a dog [sandbox: render=0]")),
        tasks.end(lambda: WisdomGateHook().delete_video(video_id)),
    ]
    assert [end for end in ends if isinstance(end, Exception)] == []
    tasks.close(capfd)
    assert net.finds() == []
    # The net hears our own log, urllib3's, and reads the manifests.
    said = "\n".join(net.pieces)
    assert all(word in said for word in ("is stored at", '"GET /v1/videos/', '"claim_id"', video_id))


@pytest.mark.parametrize("trouble", ["wrong key", "down", "burst"])
def test_no_trouble_of_the_whole_gateway_brings_the_key_to_light(
    trouble: str,
    tasks: Tasks,
    net: Net,
    gateway: Sandbox,
    marked: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    video_id = tasks.create("render=0")
    if trouble == "wrong key":
        marked(password=f"{KEY}wrong")
    elif trouble == "down":
        gateway.down(60)
    else:
        gateway.burst(403, 60)
    ends = [
        tasks.create("render=0"),
        tasks.generate("render=0", deferrable=True),
        tasks.sense(video_id),
        tasks.sense(video_id, deferrable=True),
        tasks.download(video_id),
    ]
    tasks.net.take(WisdomGateHook().test_connection())
    gateway.reset()
    tasks.close(capfd)
    assert [isinstance(end, Exception) for end in ends] == [True] * 5
    assert net.finds() == []


def test_the_net_catches_a_key_wherever_it_is_told(
    net: Net, tasks: Tasks, gateway: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails_in_ours(**fields: Any) -> None:
        with pytest.raises(errors.ConfigurationError) as caught:
            Settings.of("wisdomgate_default", None, None, "a-key", fields)
        net.take(caught.value)

    def chained() -> None:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            raise errors.StorageError("no word of it") from error

    ways: list[Callable[[], Any]] = [
        lambda: logging.getLogger("urllib3.connectionpool").debug("sent %r", KEY),
        lambda: logging.getLogger("airflow.task").info("a task says %s", KEY),
        lambda: WisdomGateHook().log.debug("a hook says %s", KEY),
        lambda: tasks.sense(KEY),
        lambda: fails_in_ours(timeout=KEY),
        lambda: tasks.end(chained),
        lambda: net.take({"password": KEY}),
        lambda: tasks.local.write("clip.mp4.json", KEY.encode()),
        lambda: print(KEY),
    ]
    for tell in ways:
        tell()
        tasks.close(capfd)
        assert net.finds() != []
        net.pieces.clear()
        net.local_variables.clear()
        for path in tasks.local.folder.glob("*"):
            path.unlink()


@pytest.mark.parametrize("key", ["1", "id", "EMPTY", "null"])
def test_a_placeholder_for_a_key_spoils_no_answer(key: str, tasks: Tasks, marked: Callable[..., None]) -> None:
    with Sandbox(key) as gateway:
        marked(host=gateway.url, password=key)
        made = tasks.generate("render=0")
        assert [made["video_id"]] == [video["id"] for video in gateway.videos()]


@pytest.mark.parametrize("quoted", ["{}", "{}!", "Bearer {}"])
def test_a_key_is_redacted_however_an_answer_spells_it(
    quoted: str, tasks: Tasks, net: Net, marked: Callable[..., None]
) -> None:
    in_json, in_url = KEY.replace("/", "\\/"), quote(KEY, safe="")
    escaped = [KEY.replace("+", plus) for plus in ("\\u002b", "\\u002B")]  # as .NET and Go write JSON
    for spelled in (KEY, in_json, in_url, *escaped):
        body = json.dumps({"error": {"message": "@"}}).replace("@", quoted.format(spelled)).encode()
        head = f"Content-Length: {len(body)}\r\nContent-Type: {KEY}\r\nX-Request-Id: {KEY}\r\nConnection: close"
        for status in ("401 No", "200 OK"):
            with answering(f"HTTP/1.1 {status}\r\n{head}\r\n\r\n".encode() + body) as port:
                marked(host=f"http://127.0.0.1:{port}")
                sync_and_async(tasks)
                tasks.create("render=0")
                tasks.download("video_1")
        with answering(f"HTTP/1.1 307 No\r\nLocation: /{spelled}\r\n{head}\r\n\r\n".encode() + body) as port:
            marked(host=f"http://127.0.0.1:{port}")
            tasks.create("render=0")
    assert found(MARK, net.pieces) == []


# What cannot be sent


def sync_and_async(tasks: Tasks) -> list[Any]:
    """Poll a video with both clients and as a trigger, and return the ends."""

    async def poll() -> Any:
        async with AsyncClient(WisdomGateHook().settings) as client:
            return await client.send(routes.get_video("video_1"), ONCE)

    async def wait() -> Any:
        trigger = WisdomGateVideoTrigger("video_1", poll_interval=0.001, deadline=0.0)
        return [event.payload async for event in trigger.run()]

    return [
        tasks.end(lambda: WisdomGateHook().client.send(routes.get_video("video_1"), ONCE)),
        tasks.end(lambda: asyncio.run(poll())),
        tasks.end(lambda: asyncio.run(wait())),
        tasks.end(lambda: WisdomGateHook().test_connection()),
    ]


@pytest.mark.parametrize("key", [f" {KEY}", f"{KEY}\n", f"\t{KEY}\r\n"], ids=ascii)
def test_blanks_around_a_key_are_not_part_of_it(key: str, tasks: Tasks, marked: Callable[..., None]) -> None:
    marked(password=key)
    assert tasks.generate("render=0")["phase"] == "stored"


AWKWARD = [f"{KEY}\n{KEY}", f"{KEY}\r\nX-Evil: 1", f"{KEY} {KEY}", f"{KEY}é", f"{KEY}€", f"{KEY}\0"]


@pytest.mark.parametrize("key", AWKWARD, ids=ascii)
def test_a_key_that_cannot_be_sent_is_refused_without_a_word_of_it(
    key: str,
    tasks: Tasks,
    net: Net,
    gateway: Sandbox,
    marked: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    marked(password=key)
    sync, unsync, events, button = sync_and_async(tasks)
    assert (type(sync), type(unsync)) == (errors.ConfigurationError,) * 2
    assert (events[0]["error"]["error"], button[0]) == ("ConfigurationError", False)
    tasks.close(capfd)
    assert (net.finds(), gateway.requests()) == ([], [])


@pytest.mark.parametrize("extra", [{"X-Team": f"{MARK}\n"}, {"X-Team": f"{MARK}€"}, {"X Team": MARK}], ids=ascii)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    extra: dict[str, str], tasks: Tasks, net: Net, marked: Callable[..., None]
) -> None:
    marked(extra={name: f"a{value}b" for name, value in extra.items()})
    ends = sync_and_async(tasks)
    assert {type(end) for end in ends[:2]} == {errors.ConfigurationError}
    assert found(MARK, net.pieces) == []


PROXIES = {
    "dead": "http://user:{}@127.0.0.1:9",
    "no scheme": "user:{}@127.0.0.1:9",
    "no port": "http://user:{}@127.0.0.1:port",
    "no host": "http://user:{}@",
    "half a bracket": "http://user:{}@[::1",
    "a hash in the password": "http://user:{}#x@127.0.0.1:9",
    "a slash in the password": "http://user:{}/x@127.0.0.1:9",
    "a space in the password": "http://user:{} x@127.0.0.1:9",
    "a letter in the password": "http://user:{}€@127.0.0.1:9",
    "an escaped letter in the password": "http://user:{}%E2%82%AC@127.0.0.1:9",
    "socks": "socks5://user:{}@127.0.0.1:9",
    "ftp": "ftp://user:{}@127.0.0.1:9",
    "wants another login": "http://user:{}@127.0.0.1:407",
    "is none": "http://user:{}@127.0.0.1:200",
    "is none, with TLS": "https://user:{}@127.0.0.1:200",
}


@pytest.mark.parametrize("where", ["extra", "environment"])
@pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES.keys())
def test_a_proxys_password_is_never_told(
    proxy: str,
    where: str,
    tasks: Tasks,
    net: Net,
    marked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    with refusing as refuser, answering(b"hello\r\n") as nonsense:
        url = proxy.format("pr0xyPa55").replace(":407", f":{refuser}").replace(":200", f":{nonsense}")
        marked(host="https://gateway.invalid", extra={"proxies": {"https": url}} if where == "extra" else {})
        if where == "environment":
            monkeypatch.setenv("https_proxy", url)
        ends = sync_and_async(tasks)
    assert all(isinstance(end, errors.WisdomGateError) for end in ends[:2])
    # The reprs of aiohttp's own objects are beyond us, and appear nowhere but here.
    assert found("pr0xyPa55", [piece for piece in net.pieces if "BasicAuth" not in piece]) == []
    assert net.finds() == []


def test_a_login_in_the_base_url_is_never_told(tasks: Tasks, net: Net, marked: Callable[..., None]) -> None:
    for host in (
        f"https://user:{MARK}@gateway.example",
        f"http://{MARK}@127.0.0.1:9",
        f"https://user:{MARK}@host:port",
    ):
        marked(host=host, password="another-key")
        ends = sync_and_async(tasks)
        assert {type(end) for end in ends[:2]} == {errors.ConfigurationError}
    assert found(MARK, net.pieces) == []


# What the package never does

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "subprocess", "pty", "commands"}


def dangers(source: str) -> list[str]:
    """Name what runs text as code, reads objects from bytes or starts a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += [
                name for name in [ast.unparse(node.func)] if name in FORBIDDEN_CALLS or name.startswith("os.exec")
            ]
            found += ["shell" for keyword in node.keywords if keyword.arg == "shell"]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.ImportFrom):
            found += [name for alias in node.names if (name := f"{node.module}.{alias.name}") in FORBIDDEN_CALLS]
    return found


def test_no_module_runs_text_reads_pickles_or_starts_a_shell() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert {path.name for path in modules} >= {"client.py", "local.py", "app.py", "server.py"}
    assert {path: found for path in modules if (found := dangers(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec('1')",
        "import pickle",
        "from marshal import loads",
        "os.system('x')",
        "from os import system",
        "import subprocess as s",
        "run('x', shell=True)",
        "yaml.load(x)",
    ],
)
def test_the_search_for_dangers_finds_them(source: str) -> None:
    assert dangers(source) != []
