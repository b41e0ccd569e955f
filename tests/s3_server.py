"""S3 on loopback: moto's real server, made to hold to conditions as S3 does; and a proxy that lets things go wrong."""

from __future__ import annotations

import http.client
import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REFUSAL = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>said the test's server</Message></Error>"


class Atomic:
    """Around moto: it checks a condition and writes in two steps, and knows no If-Match when an upload is completed."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "HTTP_IF_MATCH" not in environ and "HTTP_IF_NONE_MATCH" not in environ:
            answer: Iterable[bytes] = self.app(environ, start_response)
            return answer
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self.lock:
            if "uploadId" in parse_qs(environ["QUERY_STRING"]) and not self.still_is(environ):
                start_response("412 Precondition Failed", [("Content-Type", "application/xml")])
                return [REFUSAL % b"PreconditionFailed"]
            return list(self.app(environ, start_response))

    def still_is(self, environ: dict[str, Any]) -> bool:
        from moto.s3 import s3_backends

        wanted = environ.get("HTTP_IF_MATCH")
        bucket, _, key = environ["PATH_INFO"].encode("latin-1").decode().lstrip("/").partition("/")
        found = s3_backends["123456789012"]["aws"].get_object(bucket, key)
        return wanted is None or (found is not None and found.etag.strip('"') == wanted.strip('"'))


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's S3; gives its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    assert server._server
    server._server.app = Atomic(server._server.app)
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class Fault:
    """Something that goes wrong with the next ``times`` requests of a method that concern a key's end."""

    method: str
    key: str
    # "cut" the connection once the request has had its effect, or the status and code of a refusal.
    what: str
    times: int = 1
    query: str = ""
    after: int = 0  # so many such requests go well first


@dataclass
class Proxy:
    """What stands before the server: its URL, what it is to do wrong, and what it was asked."""

    url: str
    faults: list[Fault] = field(default_factory=list)
    deaf: bool = False  # to conditions, as older S3 clones are
    asked: list[tuple[str, str]] = field(default_factory=list)
    date: str | None = None  # what its answers say the time is
    on_request: Callable[[str, str], None] = lambda method, target: None
    # What the server behind it does not know itself: method, target and body to an answer, or None to ask the server.
    judge: Callable[[str, str, bytes], tuple[int, bytes] | None] | None = None
    # What its owner forbids: method, target and headers to the status and code of a refusal, or None.
    policy: Callable[[str, str, Mapping[str, str]], str | None] = lambda method, target, headers: None
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, target: str) -> Fault | None:
        path, _, query = target.partition("?")
        for fault in self.faults:
            if fault.times and fault.method == method and unquote(path).endswith(fault.key) and fault.query in query:
                fault.after -= 1
                if fault.after >= 0:
                    return None
                fault.times -= 1
                return fault
        return None


class ProxyServer(ThreadingHTTPServer):
    """Listens on loopback for a proxy in front of the server at a URL."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.behind = urlsplit(url)
        self.proxy = Proxy(f"http://127.0.0.1:{self.server_address[1]}")


class ProxyHandler(BaseHTTPRequestHandler):
    """Answers a request as the proxy's faults say, or with what the server behind it answers."""

    protocol_version = "HTTP/1.1"
    server: ProxyServer

    def handle_any(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.asked.append((self.command, self.path))
        proxy.on_request(self.command, self.path)
        if refusal := proxy.policy(self.command, self.path, self.headers):
            return self.refuse(*refusal.split())
        fault = proxy.fault(self.command, self.path)
        if fault and fault.what != "cut":
            return self.refuse(*fault.what.split())
        if proxy.judge is None:
            return self.forward(body, fault)
        with proxy.one_at_a_time:
            if verdict := proxy.judge(self.command, self.path, body):
                return self.answer(verdict[0], [("Content-Type", "application/json")], verdict[1])
            return self.forward(body, fault)

    def forward(self, body: bytes, fault: Fault | None) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
        headers["Connection"] = "close"  # some servers give an answer no length
        if self.server.proxy.deaf:
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("if-")}
        connection = http.client.HTTPConnection(str(self.server.behind.hostname), self.server.behind.port)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if fault:
            self.close_connection = True
            return None
        return self.answer(answer.status, answer.getheaders(), data)

    def answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        date = self.server.proxy.date
        self.send_response_only(status)
        for name, value in headers:
            value = date if date and name == "Date" else value
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: str, code: str) -> None:
        self.answer(int(status), [("Content-Type", "application/xml")], REFUSAL % code.encode())

    def log_message(self, *arguments: Any) -> None:
        pass

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815


@contextmanager
def proxy_before(url: str) -> Iterator[Proxy]:
    """Run a proxy in front of an S3 server."""
    server = ProxyServer(url)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
