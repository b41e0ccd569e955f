"""The loopback server that is polled: it answers at once, and its process does nothing else. As a program it serves."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def answer(path: bytes) -> bytes:
    """Answer a poll. The id says all: ``never``, or epoch milliseconds of creation and of completion; 404 for some.

    ``HttpSensorTrigger`` goes on only after a 404, so its ids begin with ``missing``.
    """
    video_id = path.rpartition(b"/")[2].decode()
    kind, _, times = video_id.partition("_")
    created, _, ready = times.partition("_")
    now, begun = time.time() * 1000, float(created or 0)
    done = bool(ready) and now >= float(ready)
    if kind == "missing" and not done:
        body: dict[str, Any] = {"error": {"message": "Not yet", "type": "invalid_request_error", "code": "not_found"}}
        return reply(b"404 Not Found", body)
    share = 100 * (now - begun) / (float(ready) - begun) if ready else 40
    body = {
        "id": video_id,
        "object": "video",
        "model": "sora-2",
        "status": "completed" if done else "processing",
        "progress": 100 if done else int(share),
        "created_at": int(begun / 1000),
        "completed_at": int(float(ready) / 1000) if done else None,
        "expires_at": int(now / 1000) + 3600 if done else None,
        "seconds": "8",
        "size": "1280x720",
        "prompt": "A paper boat drifts down a rainy street at dusk, neon signs in the puddles, slow tracking shot",
        "error": None,
        "remixed_from_video_id": None,
    }
    return reply(b"200 OK", body)


def reply(status: bytes, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nX-Oneapi-Request-Id: 20261122093000123456789abcdef\r\n"
    return (head + b"Content-Length: %d\r\n\r\n%b") % (status, len(text), text)


class Gateway(asyncio.Protocol):
    """Answers GETs on a connection that is kept. ``/count`` tells how many polls there were so far."""

    polls = connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.rest = transport, b""
        Gateway.connections += 1

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1]
            if path == b"/count":
                counts = {"polls": Gateway.polls, "connections": Gateway.connections}
                self.transport.write(reply(b"200 OK", counts))  # type: ignore[attr-defined]
                continue
            Gateway.polls += 1
            self.transport.write(answer(path))  # type: ignore[attr-defined]


async def serve(certificate: str | None) -> None:
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Gateway, "127.0.0.1", 0, ssl=tls, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def make_certificate(folder: Path) -> str:
    path = folder / "gateway.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *subject, "-keyout", str(path), "-out", str(folder / "certificate")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "certificate").read_bytes())
    return str(path)


def counted(url: str) -> dict[str, int]:
    """Ask the gateway for its counts."""
    with urllib.request.urlopen(f"{url}/count", timeout=10) as got:
        counts: dict[str, int] = json.load(got)
    return counts


@contextmanager
def gateway(certificate: str | None = None) -> Iterator[str]:
    """Run the loopback server in a process of its own; gives its base URL."""
    command = [sys.executable, __file__, certificate or ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] or None))
