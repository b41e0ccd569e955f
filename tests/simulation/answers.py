"""Single answers of the simulated gateway, and of what stands before it: an ingress, a CDN, a proxy that encodes."""

from __future__ import annotations

import gzip
import json
import ssl
from random import Random
from typing import Any

import requests
import urllib3

# What a Retry-After may say: sense, mostly, and nonsense, which nobody can wait for.
RETRY_AFTERS = (None, "0", "3", "59", "60", "60", "60", "61", "86400")
NONSENSE = (
    *("-5", "0.5", "NaN", "soon", "1800000000", "9" * 400),
    *("Fri, 31 Dec 2099 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
)
PAGES = {"plain 404": 404, "HTML 404": 404, "HTML 403": 403, "HTML 502": 502, "HTML page": 404, "5xx": 503}
# Other names of a video's id, as gateways give them in the answer to a create.
OTHER_NAMES = ("task_id", "video_id", "generation_id", "job_id", "request_id", "data", "output", "a row number")


class Response:
    """An answer as requests hands it over."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None, breaks_at: int | None = None):
        self.status_code, self.headers, self.raw = status, headers or {}, self
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.breaks_at = breaks_at
        self._at = 0

    def read(self, size: int) -> bytes:
        if self.breaks_at is not None and self._at >= self.breaks_at:
            raise urllib3.exceptions.ProtocolError("broken off")
        end = min(self._at + size, self.breaks_at or len(self.body))
        data, self._at = self.body[self._at : end], end
        return data

    def json(self) -> Any:
        return json.loads(self.body)

    def words(self) -> str:
        """Say in short what it is, for the trace."""
        try:
            return str(self.json().get("status") or self.body.decode())
        except (ValueError, AttributeError):
            return self.body.decode(errors="replace")

    def shutdown(self) -> None:
        self.breaks_at = 0

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


def broken() -> requests.exceptions.ConnectionError:
    return requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("reset by peer"))


def page_of(kind: str) -> Response:
    """Answer as whoever stands before the gateway does."""
    if kind in ("5xx", "plain 404"):
        return Response(PAGES[kind], b"default backend", {"content-type": "text/plain"})
    return Response(PAGES[kind], b"<html><body>nginx</body></html>", {"content-type": "text/html"})


def strangers(status: int, rng: Random) -> Response:
    """Answer as a proxy does, in none of the gateway's own shapes."""
    bodies: tuple[Any, ...] = (b"", b"<html><body>blocked</body></html>", b"no", {"message": "Not allowed"})
    return Response(status, rng.choice(bodies))


def another_name(name: str, video_id: str) -> dict[str, Any]:
    """Give a video's id under another name than ``id``."""
    if name == "data":
        return {"code": 200, "data": [{"status": "submitted", "task_id": video_id}]}
    if name == "output":
        return {"request_id": "4f0c-of-the-request", "output": {"task_id": video_id, "task_status": "PENDING"}}
    if name == "a row number":
        return {"id": 17, "task_id": video_id, "status": "queued"}
    return {name: video_id, "status": "queued"}


def broken_tls() -> requests.exceptions.SSLError:
    """Fail as where plain text enters a TLS stream after the request was sent."""
    cause = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:2580)")
    cause.reason = "WRONG_VERSION_NUMBER"
    return requests.exceptions.SSLError(_retried(urllib3.exceptions.SSLError(cause)))


def no_handshake(rng: Random) -> requests.exceptions.RequestException:
    """Fail as where a handshake is cut off, reset or stalls: no byte of the request has left."""
    eof = urllib3.exceptions.SSLError(ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"))
    kind = rng.choice(("closed", "reset", "stalls"))
    if kind == "closed":
        return requests.exceptions.SSLError(_retried(eof))
    if kind == "reset":
        return requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("aborted", ConnectionResetError()))
    return requests.exceptions.ReadTimeout(urllib3.exceptions.ReadTimeoutError(None, "", "Read timed out."))


def _retried(cause: Exception) -> urllib3.exceptions.MaxRetryError:
    return urllib3.exceptions.MaxRetryError(None, "/v1/videos", cause)


def rate_limited(rng: Random) -> Response:
    wait = rng.choice(RETRY_AFTERS if rng.random() < 0.8 else NONSENSE)
    body = rng.choice((b"", {"error": {"message": "slow down"}}))
    return Response(429, body, {"retry-after": wait} if wait else {})


def unauthorized() -> Response:
    return Response(401, {"error": {"message": "no such key", "code": "invalid_api_key"}})


def expired_key(rng: Random) -> Response:
    words = rng.choice(({"code": "expired"}, {"type": "expired"}, {"code": "expired", "type": "invalid_request_error"}))
    return Response(rng.choice((401, 403)), {"error": {"message": "The API key has expired", **words}})


def wrapped_404() -> Response:
    return Response(502, {"error": {"message": "Upstream service returned status 404", "type": "upstream_error"}})


def encoded(answer: Response, encoding: str = "gzip") -> Response:
    """Encode an answer though nobody asked for it; an encoding that is not known here is nothing but noise."""
    body = gzip.compress(answer.body, mtime=0) if encoding == "gzip" else b"\x0b\x02\x80" + answer.body[::-1]
    about = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return Response(answer.status_code, body, {**about, "content-encoding": encoding})


def decoded(answer: Response) -> Response:
    """Return an answer as its sender meant it."""
    if answer.headers.get("content-encoding") != "gzip":
        return answer
    return Response(answer.status_code, gzip.decompress(answer.body), answer.headers)
