"""A far side on loopback that answers each request with the very bytes that a test gives, then closes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True)
class Request:
    """One request as it came. ``headers`` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def offset(self) -> int:
        """Where the bytes begin that it asks for."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


Answer = Callable[[Request], bytes]


@dataclass
class Gateway:
    """Where it listens, what it answers, and what it was asked."""

    port: int
    answer: Answer
    pause: float = 0.0  # seconds before each 64 KiB of a request's body that it reads
    drip: float = 0.0  # seconds before each byte of its answer
    drip_from: int = 0  # the bytes before this one come at once
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def http(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, framing: str = "length") -> bytes:
    """Write an answer down. ``framing``: its length is said, it comes in chunks, or only the close ends it."""
    lines = {"Connection": "close", **(headers or {})}
    if framing == "chunked":
        lines["Transfer-Encoding"] = "chunked"
        body = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body,) if part) + b"0\r\n\r\n"
    elif framing == "length":
        lines.setdefault("Content-Length", str(len(body)))
    head = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
    return "\r\n".join(head).encode() + body


def in_turn(*answers: bytes | Answer) -> Answer:
    """Give one answer after the other; the last one for ever."""
    number = count()

    def answer(request: Request) -> bytes:
        chosen = answers[min(next(number), len(answers) - 1)]
        return chosen if isinstance(chosen, bytes) else chosen(request)

    return answer


@contextmanager
def scripted(answer: Answer) -> Iterator[Gateway]:
    """Serve, each connection in a thread of its own."""
    server = socket.create_server(("127.0.0.1", 0))
    gateway = Gateway(int(server.getsockname()[1]), answer)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_talk, args=(connection, gateway), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _talk(connection: socket.socket, gateway: Gateway) -> None:
    with connection, suppress(OSError, ValueError):
        connection.settimeout(30)
        request = _read(connection, gateway.pause)
        gateway.requests.append(request)
        answer = gateway.answer(request)
        if gateway.drip:
            connection.sendall(answer[: gateway.drip_from])
            for byte in answer[gateway.drip_from :]:
                threading.Event().wait(gateway.drip)
                connection.sendall(bytes([byte]))
        else:
            connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)


def _read(connection: socket.socket, pause: float) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            raise ValueError("no request")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = [body]
    missing = int(headers.get("content-length", 0)) - len(body)
    while missing > 0:
        threading.Event().wait(pause) if pause else None
        parts.append(connection.recv(65536))
        missing -= len(parts[-1])
    method, path, _ = first.split(" ")
    return Request(method, path, headers, b"".join(parts))
