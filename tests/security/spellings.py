"""Spells a key in every way that a gateway, a proxy or a library may quote it, by chance and repeatably.

    spelled = Spellings(random.Random(seed))
    spelled.text(KEY)                what stands in a text
    spelled.document({"id": KEY})    the bytes of a JSON document in which it stands

``leaks`` finds it again, with other means than the package: it decodes by trial what a reader might decode.
"""

from __future__ import annotations

import ast
import base64
import html
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

Spell = Callable[[str], str]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
NAMED = {"+": "&plus;", "/": "&sol;", "%": "&percnt;", "=": "&equals;", "-": "&hyphen;", "&": "&amp;", "<": "&lt;"}
NAMED |= {'"': "&quot;", "'": "&apos;", ">": "&gt;", "_": "&lowbar;", ".": "&period;", ":": "&colon;", "-": "-"}


class Spellings:
    """Chooses by chance how a text is spelled. ``used`` are the forms that were tried."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.used: set[str] = set()

    def characters(self) -> dict[str, Spell]:
        """Return how one character may be spelled, by kind."""
        anycase = self.anycase
        return {
            "plain": str,
            "json": lambda char: f"\\u00{anycase(f'{ord(char):02x}')}",
            "percent": lambda char: f"%{anycase(f'{ord(char):02x}')}",
            "decimal": lambda char: f"&#{'0' * self.dice.randrange(3)}{ord(char)};",
            "hexadecimal": lambda char: f"&#{self.dice.choice('xX')}{anycase(f'{ord(char):x}')};",
            "named": lambda char: NAMED.get(char, char),
            "python": lambda char: f"\\x{ord(char):02x}",
            "slashed": lambda char: f"\\{char}" if not char.isalnum() else char,
        }

    def anycase(self, text: str) -> str:
        return "".join(self.dice.choice((char.lower(), char.upper())) for char in text)

    def wholes(self) -> dict[str, Spell]:
        """Return what may be done to a whole text, by kind."""
        return {
            "json string": lambda text: json.dumps(text)[1:-1],
            "json in json": lambda text: json.dumps(json.dumps({"message": text})),
            "percent again": lambda text: quote(text, safe=""),
            "html again": html.escape,
            "base64": lambda text: base64.b64encode(text.encode()).decode(),
            "base64 of a header": lambda text: base64.b64encode(f"Authorization: Bearer {text}\r\n".encode()).decode(),
            "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"user:{text}".encode()).decode(),
            "base64 without padding": lambda text: base64.b64encode(f"k={text}".encode()).decode().rstrip("="),
            "hex": lambda text: self.anycase(text.encode().hex()),
            "bytes": lambda text: repr(text.encode()),
            "bearer": lambda text: f"Bearer {text}",
            "upper": str.upper,
            "lower": str.lower,
        }

    def text(self, key: str) -> str:
        """Spell a key, at most three ways in one another."""
        kinds, wholes = self.characters(), self.wholes()
        chosen = self.dice.sample(sorted(kinds), self.dice.choice((1, 1, 2, 3, len(kinds))))
        layers = self.dice.sample(sorted(wholes), self.dice.choice((0, 0, 1, 1, 2)))
        first = [name for name in layers if name in ("hex", "upper", "lower") or name.startswith("base64")][:1]
        # What base64 or another case is of is the key itself: of a spelled key nobody could decode it again.
        text = key
        for name in first:
            text = wholes[name](text)
        if not first:
            text = "".join(kinds[self.dice.choice(chosen)](char) for char in key)
        for name in (layer for layer in layers if layer not in first and not layer.startswith(("base64", "hex"))):
            if name not in ("upper", "lower"):
                text = wholes[name](text)
        self.used.add(" > ".join((*(first or ["+".join(sorted(chosen))]), *(n for n in layers if n not in first))))
        return text

    def document(self, value: Any) -> bytes:
        """Write JSON, any character of its texts escaped by chance, in an encoding that JSON may have."""
        likely = self.dice.choice((0.0, 0.0, 0.1, 0.5, 1.0))
        encoding = self.dice.choice(ENCODINGS)
        self.used.add(f"document: {encoding}, {likely:.0%} escaped")

        def escaped(found: re.Match[str]) -> str:
            inner = json.loads(found[0])
            return '"' + "".join(self._in_json(char, likely) for char in inner) + '"'

        return re.sub(r'"(?:[^"\\]|\\.)*"', escaped, json.dumps(value)).encode(encoding)

    def _in_json(self, char: str, likely: float) -> str:
        if self.dice.random() < likely and ord(char) < 0x10000:
            return f"\\u{self.anycase(f'{ord(char):04x}')}"
        return "\\/" if char == "/" and self.dice.random() < 0.5 else json.dumps(char)[1:-1]


def leaks(mark: str, text: str) -> bool:
    """Whether a reader who decodes a text by trial finds the mark in it."""
    seen, todo = set[str](), [text]
    while todo and len(seen) < 60:
        if (level := todo.pop(0)) in seen:
            continue
        seen.add(level)
        if any(mark.lower() in each.lower() for each in (level, *_from_base64(level), *_from_hex(level))):
            return True
        todo += [new for decode in DECODERS if (new := decode(level)) != level and new not in seen]
    return False


def _backslashes(text: str) -> str:
    def char(found: re.Match[str]) -> str:
        if found[0][1] in "/\"'\\":
            return found[0][1]
        with suppress(ValueError, SyntaxError):
            return str(ast.literal_eval(f"'{found[0]}'"))
        return found[0][1:]

    return re.sub(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", char, text)


def _html(text: str) -> str:
    return html.unescape(re.sub(r"&#0*(\d{1,6})", r"&#\1", text)) if "&" in text else text


def _all(text: str) -> str:
    return _html(unquote(_backslashes(text)))


DECODERS: tuple[Spell, ...] = (_all, _backslashes, unquote, _html, lambda text: text.replace("\0", ""))


def _from_base64(text: str) -> Iterator[str]:
    for found in re.findall(r"[A-Za-z0-9+/_-]{12,}", text):
        standard = found.replace("-", "+").replace("_", "/")
        for start in range(4):
            part = standard[start:]
            with suppress(ValueError):
                yield base64.b64decode(part[: len(part) // 4 * 4]).decode("latin-1")


def _from_hex(text: str) -> Iterator[str]:
    for found in re.findall(r"[0-9a-fA-F]{16,}", text):
        for start in range(2):
            part = found[start:]
            yield bytes.fromhex(part[: len(part) // 2 * 2]).decode("latin-1")
