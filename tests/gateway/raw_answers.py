"""Raw answers: a table of odd ones, and a generator around a valid one. Both clients must make the same of each.

As a program it tries many and prints each difference and each id that is lost, with the number that makes it again:
``python tests/gateway/raw_answers.py --seed 7 --count 5000`` or ``--only 7:1234``.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import brotli
import requests
from scripted import Gateway, http, scripted
from support import tls_in_front_of, zstd

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.gateway.transport import configure

ID = "video_1"
VIDEO = {"id": ID, "object": "video", "model": "any", "status": "queued", "progress": 1}
CALLS: dict[str, Callable[[], Call[Any]]] = {
    "create": lambda: routes.create_video("any", "a cat", {}),
    "poll": lambda: routes.get_video(ID),
    "list": routes.list_videos,
    "delete": lambda: routes.delete_video(ID),
    "content": lambda: routes.get_content(ID),
}
BODIES = {
    "create": VIDEO,
    "poll": VIDEO,
    "list": {"data": [VIDEO, {**VIDEO, "id": "video_2"}], "has_more": False},
    "delete": {"id": ID, "deleted": True},
    "content": {"message": "no", "data": {"error": {"type": "video_not_ready", "code": "video_processing"}}},
}
TOLD = json.dumps(VIDEO).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(TOLD), TOLD)
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n" % len(TOLD)


def interim(status: int, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\n%b\r\n" % (status, headers)


def with_line(line: bytes) -> bytes:
    return HEAD + line + b"\r\n\r\n" + TOLD


def after_status(line: bytes) -> bytes:
    return with_line(b"X-Last: 1").replace(b" OK\r\n", b" OK\r\n" + line + b"\r\n")


def encoded(name: str, body: bytes) -> bytes:
    return http(200, body, {"Content-Encoding": name})


TABLE: dict[str, bytes] = {
    "as it should be": http(200, TOLD),
    "nothing": b"",
    "no HTTP": b"garbage that is no HTTP",
    "JSON without a head": TOLD,
    "HTTP/0.9": b"<html>" + TOLD,
    "HTTP/1.0": http(200, TOLD, framing="close").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2 in words": http(200, TOLD).replace(b"HTTP/1.1", b"HTTP/2"),
    "HTTP/3.7": http(200, TOLD).replace(b"HTTP/1.1", b"HTTP/3.7"),
    "no reason": http(200, TOLD).replace(b" Whatever", b""),
    "a reason that is no ASCII": http(200, TOLD).replace(b"Whatever", "schön".encode()),
    "a reason in latin-1": http(200, TOLD).replace(b"Whatever", "schön".encode("latin-1")),
    "a reason of 100 KB": http(200, TOLD).replace(b"Whatever", b"x" * 100_000),
    "a status of two digits": http(20, TOLD),
    "a status of four digits": http(2000, TOLD),
    "status 000": http(200, TOLD).replace(b" 200 ", b" 000 "),
    "status 600": http(600, TOLD),
    "status 999": http(999, TOLD),
    "a status that is no number": http(200, TOLD).replace(b" 200 ", b" OK "),
    "a negative status": http(200, TOLD).replace(b" 200 ", b" -200 "),
    "two spaces before the status": http(200, TOLD).replace(b" 200 ", b"  200 "),
    "a tab before the status": http(200, TOLD).replace(b" 200 ", b"\t200 "),
    "lower case": http(200, TOLD).replace(b"HTTP/1.1", b"http/1.1"),
    "an empty line first": b"\r\n" + http(200, TOLD),
    "lines that end with LF": http(200, TOLD).replace(b"\r\n", b"\n"),
    "101": interim(101, b"Upgrade: h2c\r\n") + http(200, TOLD),
    "102 before it": interim(102) + http(200, TOLD),
    "103 with links before it": interim(103, b"Link: </a.css>\r\nLink: </b.css>\r\n") + http(200, TOLD),
    "many 1xx before it": interim(100) * 20 + interim(103) * 20 + interim(100) + http(201, TOLD),
    "nothing after 1xx": interim(100) * 3,
    "199 before it": interim(199) + http(200, TOLD),
    "100 with a length": interim(100, b"Content-Length: 5\r\n") + http(200, TOLD),
    "201": http(201, TOLD),
    "202": http(202, TOLD),
    "204 with a body": http(204, TOLD),
    "204": http(204),
    "205 with a body": http(205, TOLD),
    "304 with a body": http(304, TOLD),
    "206": http(206, TOLD, {"Content-Range": f"bytes 0-{len(TOLD) - 1}/{len(TOLD)}"}),
    "302 without a Location": http(302, TOLD),
    "302 to nowhere": http(302, b"", {"Location": ""}),
    "302 to no URL": http(302, b"", {"Location": "http://["}),
    "302 to http://.": http(302, b"", {"Location": "http://."}),
    "302 to a label that is too long": http(302, b"", {"Location": f"http://{'a' * 70}.example/"}),
    "302 to an empty label": http(302, b"", {"Location": "http://a..b/"}),
    "302 to half a character": http(302, b"", {"Location": "http://xn--a/"}),
    "302 to a port that is none": http(302, b"", {"Location": "http://a:99999/"}),
    "302 to port 0": http(302, b"", {"Location": "http://127.0.0.1:0/"}),
    "302 to a bad port": http(302, b"", {"Location": "http://a:b/"}),
    "302 to IPv6 in part": http(302, b"", {"Location": "http://[::1/"}),
    "302 to a zone": http(302, b"", {"Location": "http://[fe80::1%25eth0]:1/"}),
    "302 to another scheme": http(302, b"", {"Location": "ftp://127.0.0.1/"}),
    "302 to a login": http(302, b"", {"Location": "http://u:p@127.0.0.1:9/"}),
    "302 to no scheme": http(302, b"", {"Location": "//"}),
    "302 to a bad percent": http(302, b"", {"Location": "http://127.0.0.1:9/%zz?%"}),
    "302 to the zero host": http(302, b"", {"Location": "http://0:9/"}),
    "302 to a closed port": http(302, b"", {"Location": "http://127.0.0.1:9/clip"}),
    "400": http(400, TOLD),
    "403 from a stranger": http(403, b"<html>no</html>"),
    "404": http(404, b'{"error": {"message": "no such video", "code": "not_found"}}'),
    "429 with a wait": http(429, b"", {"Retry-After": "7"}),
    "500": http(500, TOLD),
    "502 HTML": http(502, b"<html>bad gateway</html>"),
    "500 headers": http(200, TOLD, {f"X-Header-{number}": "x" for number in range(500)}),
    "15,000 headers": http(200, TOLD, {f"X-Header-{number}": "x" for number in range(15_000)}),
    "a header of 9 KB": http(200, TOLD, {"Set-Cookie": "c=" + "x" * 9_000}),
    "a header of 200 KB": http(200, TOLD, {"Set-Cookie": "c=" + "x" * 200_000}),
    "a header of 2 MB": http(200, TOLD, {"Set-Cookie": "c=" + "x" * 2_000_000}),
    "a folded header": with_line(b"X-Long: one\r\n two\r\n\tthree"),
    "a folded header first": after_status(b" folded: x"),
    "a header in latin-1": with_line("X-City: Köln".encode("latin-1")),
    "a header in UTF-8": with_line("X-City: Köln 東京".encode()),
    "a header with NUL": with_line(b"X-Odd: a\x00b"),
    "a header with control characters": with_line(b"X-Odd: a\x01\x7f\x1b[31m"),
    "a header with a bare CR": with_line(b"X-Odd: a\rb"),
    "a header without a colon": with_line(b"X-Nothing"),
    "a header without a colon first": after_status(b"nothing"),
    "a header without a name": with_line(b": nothing"),
    "a space before the colon": with_line(b"X-Odd : x"),
    "a space in the name": with_line(b"X Odd: x"),
    "an odd name": with_line("X-Größe(1): x".encode()),
    "a long request id": http(200, b"", {"X-Request-Id": "r" * 9_000}),
    "a request id in latin-1": http(500, b"", {}).replace(b"\r\n\r\n", "\r\nX-Request-Id: ä\r\n\r\n".encode("latin-1")),
    "twice the same length": http(200, TOLD).replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(TOLD)),
    "two lengths": http(200, TOLD).replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
    "two lengths in one line": http(200, TOLD, {"Content-Length": f"{len(TOLD)}, {len(TOLD)}"}),
    "a length that is no number": http(200, TOLD, {"Content-Length": "many"}),
    "an empty length": http(200, TOLD, {"Content-Length": ""}),
    "a negative length": http(200, TOLD, {"Content-Length": "-5"}),
    "a length with a plus": http(200, TOLD, {"Content-Length": f"+{len(TOLD)}"}),
    "a length with an underscore": http(200, TOLD, {"Content-Length": "1_0"}),
    "a length in other digits": http(200, TOLD, {"Content-Length": "x"}).replace(b": x", ": ١٢".encode()),
    "a length of 5,000 digits": http(200, TOLD, {"Content-Length": "9" * 5_000}),
    "a length of 30 digits": http(200, TOLD, {"Content-Length": "9" * 30}),
    "a length of zero": http(200, TOLD, {"Content-Length": "0"}),
    "a body shorter than its length": http(200, TOLD, {"Content-Length": "5000"}),
    "a body longer than its length": http(200, TOLD + b"\n\n\n", {"Content-Length": str(len(TOLD))}),
    "JSON that its length cuts": http(200, TOLD, {"Content-Length": str(len(TOLD) - 5)}),
    "no length": http(200, TOLD, framing="close"),
    "chunked": http(200, TOLD, framing="chunked"),
    "chunked, and a length": http(200, TOLD, {"Content-Length": "5"}, framing="chunked"),
    "chunked, upper case": CHUNKED.replace(b"chunked", b"CHUNKED") + CHUNK + b"0\r\n\r\n",
    "chunked twice": CHUNKED.replace(b"chunked", b"chunked, chunked") + CHUNK + b"0\r\n\r\n",
    "chunked in two lines": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n",
    "gzip and chunked as transfer": CHUNKED.replace(b"chunked", b"gzip, chunked")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(TOLD)), gzip.compress(TOLD)),
    "identity as transfer": CHUNKED.replace(b"chunked", b"identity") + TOLD,
    "a transfer encoding that nobody knows": CHUNKED.replace(b"chunked", b"cloud") + TOLD,
    "chunked in name only": CHUNKED + TOLD,
    "chunk extensions": CHUNKED + b'%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (len(TOLD), TOLD),
    "a long chunk extension": CHUNKED + b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(TOLD), b"x" * 90_000, TOLD),
    "chunks of one byte": CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in TOLD) + b"0\r\n\r\n",
    "spaces around a chunk size": CHUNKED + b" %x \r\n%b\r\n0\r\n\r\n" % (len(TOLD), TOLD),
    "a chunk size with zeros": CHUNKED + b"0000%x\r\n%b\r\n0\r\n\r\n" % (len(TOLD), TOLD),
    "a chunk size with 0x": CHUNKED + b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(TOLD), TOLD),
    "a chunk size with an underscore": CHUNKED + b"1_0\r\n%b\r\n0\r\n\r\n" % TOLD,
    "no last chunk": CHUNKED + CHUNK,
    "no line after the last chunk": CHUNKED + CHUNK + b"0\r\n",
    "half a chunk": CHUNKED + b"%x\r\n%b" % (len(TOLD) + 50, TOLD),
    "a chunk without its line end": CHUNKED + CHUNK[:-2] + b"0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + b"5\r\n%b\r\n0\r\n\r\n" % TOLD,
    "chunks that end with LF": CHUNKED + CHUNK.replace(b"\r\n", b"\n") + b"0\n\n",
    "a chunk size that is no number": CHUNKED + CHUNK + b"zz\r\nmore",
    "a first chunk size that is no number": CHUNKED + b"zz\r\n" + TOLD,
    "an empty chunk size": CHUNKED + CHUNK + b"\r\nmore",
    "a negative chunk size": CHUNKED + CHUNK + b"-5\r\nmore",
    "a first negative chunk size": CHUNKED + b"-5\r\n" + TOLD,
    "a huge chunk size": CHUNKED + b"%b\r\n%b" % (b"f" * 15, TOLD),
    "a chunk size without end": CHUNKED + b"f" * 100_000 + b"\r\n" + TOLD,
    "trailers": CHUNKED + CHUNK + b"0\r\nX-Late: 1\r\nX-Later: 2\r\n\r\n",
    "an odd trailer": CHUNKED + CHUNK + b"0\r\nnonsense\r\n\r\n",
    "a trailer that is cut": CHUNKED + CHUNK + b"0\r\nX-La",
    "something after the last chunk": CHUNKED + CHUNK + b"0\r\n\r\nmore",
    "another answer after it": http(200, TOLD) + http(500, b"no"),
    "a head that is cut": http(200, TOLD)[:30],
    "a head without an empty line": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "a status line alone": b"HTTP/1.1 200 OK\r\n",
    "a status line that is cut": b"HTTP/1.1 20",
    "an empty body": http(200),
    "gzip": encoded("gzip", gzip.compress(TOLD)),
    "gzip without its end": encoded("gzip", gzip.compress(TOLD)[:-8]),
    "gzip that is cut": encoded("gzip", gzip.compress(TOLD)[:-20]),
    "gzip in name only": encoded("gzip", TOLD),
    "gzip and something after it": encoded("gzip", gzip.compress(TOLD) + b"more"),
    "gzip twice": encoded("gzip, gzip", gzip.compress(gzip.compress(TOLD))),
    "gzip, though twice is said": encoded("gzip, gzip", gzip.compress(TOLD)),
    "gzip unsaid": http(200, gzip.compress(TOLD)),
    "gzip of nothing": encoded("gzip", b""),
    "deflate": encoded("deflate", zlib.compress(TOLD)),
    "deflate without its header": encoded("deflate", zlib.compress(TOLD)[2:-4]),
    "deflate in name only": encoded("deflate", TOLD),
    "brotli": encoded("br", brotli.compress(TOLD)),
    "brotli in name only": encoded("br", TOLD),
    "brotli that is cut": encoded("br", brotli.compress(TOLD)[:-3]),
    "zstd": encoded("zstd", zstd.compress(TOLD)),
    "zstd in name only": encoded("zstd", TOLD),
    "zstd under brotli": encoded("zstd, br", brotli.compress(zstd.compress(TOLD))),
    "aws-chunked": encoded("aws-chunked", TOLD),
    "binary": encoded("binary", TOLD),
    "utf-8 as an encoding": encoded("utf-8", TOLD),
    "none as an encoding": encoded("none", TOLD),
    "commas as an encoding": encoded(",,", TOLD),
    "an unknown encoding and no JSON": encoded("compress", b"\x1f\x9d\x90"),
    "aws-chunked and gzip": encoded("aws-chunked, gzip", gzip.compress(TOLD)),
    "HTML with an unknown encoding": http(404, b"<html>no</html>", {"Content-Encoding": "utf-8"}),
    "two documents": http(200, TOLD + b'\n{"id": "video_2", "status": "queued"}'),
    "something after it": http(200, TOLD + b"<!-- served by x -->"),
    "something before it": http(200, b")]}',\n" + TOLD),
    "a BOM": http(200, b"\xef\xbb\xbf" + TOLD),
    "UTF-16": http(200, TOLD.decode().encode("utf-16")),
    "UTF-16 without a BOM": http(200, TOLD.decode().encode("utf-16-le")),
    "UTF-16 with escapes": http(200, TOLD.decode().replace("v", "\\u0076").encode("utf-16")),
    "UTF-32": http(200, TOLD.decode().encode("utf-32")),
    "escapes": http(200, TOLD.replace(b"video_1", b"\\u0076ideo\\u005f1")),
    "latin-1": http(200, json.dumps({**VIDEO, "prompt": "Füße"}, ensure_ascii=False).encode("latin-1")),
    "half a character": http(200, json.dumps({**VIDEO, "prompt": "\ud83d"}).encode()),
    "NaN": http(200, json.dumps({**VIDEO, "progress": float("nan")}).encode()),
    "no type": http(200, TOLD, {"Content-Type": ""}),
    "another type": http(200, TOLD, {"Content-Type": "video/mp4; charset=nonsense"}),
    "an odd cookie": http(200, TOLD, {"Set-Cookie": "=; expires=" + "0 " * 400}),
    "9 MB": http(200, TOLD + b" " * 9_000_000),
    "9 MB before it": http(200, b" " * 9_000_000 + TOLD),
}


# ---- the generator


@dataclass(frozen=True)
class Case:
    """A generated answer. ``is_whole``: nothing was cut and its framing is right, so that it must be understood."""

    call: str
    answer: bytes
    is_whole: bool
    made_of: tuple[str, ...]


def odd_headers(chance: random.Random) -> list[bytes]:
    """Make header lines that no client should stumble over."""
    size = chance.choice([1, 100, 8_200, 66_000])
    odd = bytes(chance.choice([*range(1, 10), *range(11, 13), *range(14, 256)]) for _ in range(chance.randrange(1, 30)))
    makers = {
        "many": lambda: [b"X-Header-%d: x" % number for number in range(chance.choice([90, 101, 130, 1_000]))],
        "long": lambda: [b"Set-Cookie: c=" + b"x" * size],
        "odd bytes": lambda: [b"X-Odd: " + odd],
        "odd name": lambda: [odd + b": x"],
        "folded": lambda: [b"X-Folded: a\r\n " + b"b" * chance.randrange(9)],
        "latin-1": lambda: ["X-City: Köln".encode(chance.choice(["latin-1", "utf-8"]))],
        "no colon": lambda: [b"nonsense" * chance.randrange(1, 4)],
        "request id": lambda: [b"X-Request-Id: %d" % chance.randrange(10**9)],
        "retry after": lambda: [b"Retry-After: " + chance.choice([b"3", b"-1", b"soon", b"9" * 5_000])],
        "type": lambda: [b"Content-Type: " + chance.choice([b"application/json", b"video/mp4", b"text/html", b";"])],
    }
    return makers[chance.choice(list(makers))]()


TEXTS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "BOM": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16-LE": lambda text: text.encode("utf-16-le"),
    "UTF-16-BE": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def payload(chance: random.Random, call: str, made_of: list[str]) -> bytes:
    """Write the answer's JSON in one of the ways that gateways write it."""
    text = json.dumps(BODIES[call], indent=chance.choice([None, None, 2]))
    if chance.random() < 0.2:
        text = "".join(f"\\u{ord(each):04x}" if each.isalpha() and chance.random() < 0.3 else each for each in text)
        text = json.dumps(BODIES[call]) if not _is_same(text, call) else text
        made_of.append("escapes")
    if chance.random() < 0.1:
        text += chance.choice([json.dumps({**VIDEO, "id": "video_2"}), "\n", "<!-- x -->", "\x00"])
        made_of.append("more after it")
    name = chance.choice(list(TEXTS)) if chance.random() < 0.3 else "UTF-8"
    made_of.append(name)
    return TEXTS[name](text)


def _is_same(text: str, call: str) -> bool:
    try:
        return bool(json.loads(text) == BODIES[call])
    except ValueError:
        return False


def coded(chance: random.Random, body: bytes, made_of: list[str]) -> tuple[bytes, list[bytes], bool]:
    """Encode a body, or say so without doing it; the last value says whether it can be undone."""
    kind = chance.choice(["one", "twice", "wrong", "unknown"])
    names = [chance.choice(list(ENCODERS)) for _ in range(2 if kind == "twice" else 1)]
    made_of.append(f"{kind} {names}")
    if kind == "unknown":
        return body, [b"Content-Encoding: " + chance.choice([b"aws-chunked", b"binary", b"utf-8", b"x", b"none"])], True
    if kind != "wrong":
        for name in names:
            body = ENCODERS[name](body)
    elif chance.random() < 0.5:
        body = ENCODERS[chance.choice(list(ENCODERS))](body)
    return body, [b"Content-Encoding: " + ", ".join(names).encode()], kind != "wrong"


def in_chunks(chance: random.Random, body: bytes, made_of: list[str]) -> tuple[bytes, bool]:
    """Write a body in chunks, and sometimes a chunk wrongly."""
    parts, at = [], 0
    while at < len(body):
        size = chance.choice([1, 7, 64, 5_000])
        piece = body[at : at + size]
        extension = chance.choice([b"", b"", b"", b";a=b", b' ; c="d"', b";" + b"x" * 300])
        parts.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
        at += size
    end = chance.choice([b"0\r\n\r\n"] * 4 + [b"0\r\nX-Late: 1\r\n\r\n", b"000\r\n\r\n", b"", b"0\r\n"])
    is_right = end.endswith(b"\r\n\r\n")
    if chance.random() < 0.3:
        wrong = chance.choice([b"-5\r\n", b"zz\r\n", b"\r\n", b"f" * 15 + b"\r\n", b"f" * 99 + b"\r\n", b"5\r\nab\r\n"])
        parts.insert(chance.randrange(len(parts) + 1), wrong)
        made_of.append(f"a wrong chunk {wrong[:8]!r}")
        is_right = False
    return b"".join(parts) + end, is_right


def framed(chance: random.Random, body: bytes, made_of: list[str]) -> tuple[bytes, list[bytes], bool]:
    kind = chance.choice(["length", "length", "chunked", "close", "both", "two lengths", "same twice", "wrong length"])
    made_of.append(kind)
    length = b"Content-Length: %d" % len(body)
    if kind in ("chunked", "both"):
        wire, is_right = in_chunks(chance, body, made_of)
        more = [chance.choice([length, b"Content-Length: 3"])] if kind == "both" else []
        return wire, [b"Transfer-Encoding: chunked", *more], is_right
    if kind == "two lengths":
        return body, [length, b"Content-Length: %d" % chance.randrange(len(body) + 9)], False
    if kind == "wrong length":
        said = chance.choice([b"-1", b"x", b"", b"%d" % (len(body) + 10), b"%d" % (len(body) // 2), b"9" * 40])
        return body, [b"Content-Length: " + said], said in (b"-1", b"x", b"")
    return body, {"length": [length], "same twice": [length, length]}.get(kind, []), True


STATUS_LINES = (
    *([b"HTTP/1.1 200 OK"] * 12),
    *(b"HTTP/1.1 %d Whatever" % status for status in (201, 202, 204, 304, 400, 401, 403, 404, 409, 429, 500, 502, 524)),
    *(b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/2 200", b"http/1.1 200 ok", b"ICY 200 OK"),
    *(b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 OK", b"HTTP/1.1 200 \xe9", b"HTTP/1.1 999 ?"),
)


def generated(seed: int, number: int) -> Case:
    """Make one answer; the same for the same two numbers."""
    chance = random.Random(f"{seed}:{number}")
    made_of: list[str] = []
    call = chance.choice(list(CALLS))
    body, headers, is_whole = payload(chance, call, made_of), [b"Connection: close"], True
    if chance.random() < 0.35:
        body, more, is_right = coded(chance, body, made_of)
        headers, is_whole = headers + more, is_whole and is_right
    wire, more, is_right = framed(chance, body, made_of)
    headers, is_whole = headers + more, is_whole and is_right
    for _ in range(chance.choice([0, 0, 0, 1, 2])):
        headers += odd_headers(chance)
    chance.shuffle(headers)
    line = chance.choice(STATUS_LINES)
    made_of.append(line.decode("latin-1"))
    is_whole = is_whole and line.split()[1:2] == [b"200"] and line[:4].upper() == b"HTTP"
    before = b"".join(interim(chance.choice([100, 102, 103, 199])) for _ in range(chance.choice([0] * 8 + [1, 3, 200])))
    answer = before + b"\r\n".join([line, *headers, b"", b""]) + wire
    if chance.random() < 0.1:
        answer += chance.choice([b"\r\n", b"more", b"\0" * 99, http(500, b"no")])
        is_whole = is_whole and b"Content-Encoding" not in answer
        made_of.append("bytes after it")
    if chance.random() < 0.15:
        answer, is_whole = answer[: chance.randrange(len(answer))], False
        made_of.append(f"cut at {len(answer)}")
    return Case(call, answer, is_whole, tuple(made_of))


# ---- what the clients make of them


class Pair:
    """Both clients, on one connection of a gateway that answers what it is told."""

    def __init__(self, sync: Client, settings: Settings, gateway: Gateway) -> None:
        self.gateway = gateway
        self._sync, self._settings, self._loop = sync, settings, asyncio.new_event_loop()
        self._async = self._loop.run_until_complete(AsyncClient(settings).__aenter__())

    def close(self) -> None:
        self._loop.run_until_complete(self._async.__aexit__())
        self._loop.close()

    def ends(self, call: Call[Any], answer: bytes) -> tuple[Any, Any]:
        """Return what the sync and the async client make of an answer: a value, or an error as a dict."""
        self.gateway.answer = lambda request: answer
        sync = _end_of(lambda: self._sync.send(call, ONCE))
        return sync, _end_of(lambda: self._loop.run_until_complete(self._async.send(call, ONCE)))


def _end_of(send: Callable[[], Any]) -> Any:
    try:
        return send()
    except errors.WisdomGateError as error:
        return {name: value for name, value in error.as_dict().items() if name not in ("retry_after",)}
    except Exception as error:  # what no client may raise
        return f"raw {type(error).__name__}: {error}"[:200]


def shows_the_id(end: Any) -> bool:
    return getattr(end, "id", None) == ID or (isinstance(end, dict) and ID in json.dumps(end))


def keeps_the_id(case: Case, end: Any) -> bool:
    """Whether a create's end holds the id if the answer does: in plain letters, or in what can be read whole."""
    if case.call != "create":
        return True
    is_plain = case.answer.rpartition(b"HTTP/")[2].count(b'"%b"' % ID.encode()) > 0
    return shows_the_id(end) or not (is_plain or case.is_whole)


@contextmanager
def pair(ca_bundle: str | None = None) -> Iterator[Pair]:
    """Connect both clients to a gateway of their own, over TLS if that is who signs for it."""
    with ExitStack() as stack:
        gateway = stack.enter_context(scripted(lambda request: b""))
        url = stack.enter_context(tls_in_front_of(gateway.url)) if ca_bundle else gateway.url
        extra = {"verify": ca_bundle or True, "timeout": 10}
        settings, session = Settings.of("both", url, None, "sk-not-a-secret", extra), requests.Session()
        configure(session, settings)
        both = Pair(Client(session, settings), settings, gateway)
        try:
            yield both
        finally:
            both.close()


def problems(both: Pair, seed: int, numbers: Iterator[int] | range) -> Iterator[tuple[int, Case, str, Any, Any]]:
    """Yield the generated cases that the clients disagree about, or lose the id of, or end in a raw error."""
    for number in numbers:
        case = generated(seed, number)
        sync, asynchronous = both.ends(CALLS[case.call](), case.answer)
        if sync != asynchronous:
            yield number, case, "two outcomes", sync, asynchronous
        elif isinstance(sync, str):
            yield number, case, "a raw error", sync, asynchronous
        elif not keeps_the_id(case, sync):
            yield number, case, "the id is lost", sync, asynchronous


# Rows whose create answers hold no id, or one that nobody can read.
NAMELESS = {name for name, answer in TABLE.items() if ID.encode() not in answer} - {
    *("gzip", "gzip without its end", "gzip and something after it", "gzip twice", "gzip and chunked as transfer"),
    *("deflate", "deflate without its header", "brotli", "zstd", "zstd under brotli", "aws-chunked and gzip"),
    *("UTF-16", "UTF-16 without a BOM", "UTF-16 with escapes", "UTF-32", "escapes", "chunks of one byte"),
} | {"9 MB before it"}


def table_problems(both: Pair, *, is_quick: bool = False) -> list[str]:
    """Name each row and call that the clients disagree about, or that ends in a raw error or loses the id.

    :param is_quick: whether each row is tried with one call only, another one for each.
    """
    found = []
    for number, (name, answer) in enumerate(TABLE.items()):
        kinds = ["create", "poll"] if len(answer) > 200_000 else list(CALLS)
        for kind in [kinds[number % len(kinds)]] if is_quick else kinds:
            sync, asynchronous = both.ends(CALLS[kind](), answer)
            is_lost = kind == "create" and name not in NAMELESS and not shows_the_id(sync)
            if sync != asynchronous or isinstance(sync, str) or is_lost:
                found.append(f"{kind}, {name}: {sync!s:.300} | {asynchronous!s:.300}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--only", help="SEED:NUMBER of one answer, which is shown")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    seed, numbers = options.seed, range(options.count)
    if options.only:
        seed, number = map(int, options.only.split(":"))
        numbers = range(number, number + 1)
        print(generated(seed, number))
    counts: Counter[str] = Counter()
    with pair() as both:
        if options.table:
            found = table_problems(both)
            print("\n".join(found), f"\n{len(TABLE)} rows: {len(found)} problems")
            return
        for number, case, what, sync, asynchronous in problems(both, seed, numbers):
            counts[what] += 1
            print(f"{seed}:{number} {what}: {case.call} {case.made_of}\n   {sync!s:.400}\n   {asynchronous!s:.400}")
    print(f"seed {seed}: {len(numbers)} answers, {dict(counts) or 'no difference'}")


if __name__ == "__main__":
    main()
