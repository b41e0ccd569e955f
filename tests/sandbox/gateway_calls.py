"""Talks to a sandbox as a plain HTTP client: no part of the provider, whose far side it is."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.render import render

SMALL = {"model": "any", "seconds": "1", "size": "64x48"}


def call(sandbox: Sandbox, method: str, path: str, **kwargs: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {sandbox.api_key}", **kwargs.pop("headers", {})}
    return requests.request(method, f"{sandbox.url}{path}", headers=headers, timeout=kwargs.pop("timeout", 5), **kwargs)


def create(sandbox: Sandbox, prompt: str = "a cat", **fields: Any) -> requests.Response:
    return call(sandbox, "POST", "/v1/videos", json={**SMALL, "prompt": prompt, **fields})


def made(sandbox: Sandbox, prompt: str = "a cat", **fields: Any) -> str:
    return str(create(sandbox, prompt, **fields).json()["id"])


def poll(sandbox: Sandbox, video_id: str, **kwargs: Any) -> requests.Response:
    return call(sandbox, "GET", f"/v1/videos/{quote(video_id, safe='')}", **kwargs)


def content(sandbox: Sandbox, video_id: str, method: str = "GET", **kwargs: Any) -> requests.Response:
    return call(sandbox, method, f"/v1/videos/{quote(video_id, safe='')}/content", **kwargs)


def raw(sandbox: Sandbox, path: str, timeout: float = 2.0) -> tuple[bytes, bytes, str]:
    """GET on a bare socket, keep-alive: head, body, and how it ended ("closed" by the server or "silent")."""
    received, ending = b"", "closed"
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), timeout=timeout) as plain:
        head = f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {sandbox.api_key}\r\n\r\n"
        plain.sendall(head.encode())
        try:
            while piece := plain.recv(65536):
                received += piece
        except TimeoutError:
            ending = "silent"
    head_bytes, _, body = received.partition(b"\r\n\r\n")
    return head_bytes.lower(), body, ending


def whole_clip(text: str = "a cat") -> bytes:
    return render(text, (64, 48), 1).head


def asked(sandbox: Sandbox) -> dict[str, int]:
    return {name: count for name, count in sandbox.counts().items() if count}
