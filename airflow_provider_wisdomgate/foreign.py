"""Makes foreign text safe to keep and to show. Pure.

Three rules for a text that leaves: it holds no key, however the key is spelled; it holds no query of a URL, where a
signature may stand; and no character of it does anything, be it an escape, a direction, a line end or half a character.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from html.entities import html5
from itertools import product
from typing import Any, Protocol, runtime_checkable

# A shorter key is a placeholder for a gateway without keys ("EMPTY", "1"): striking it out would spoil ids.
SHORTEST_SECRET = 8
# So much of a text that is redacted is kept: only what is shown is redacted, and nothing that is shown is longer.
LONGEST = 8 * 1024
# JSON in JSON in a URL in HTML. Doublings of one kind ("%252d", "&amp;#45;", a row of backslashes) count once.
MAX_LEVELS = 8
# No value that is kept is nested deeper; a deeper one can be read and not be written.
MAX_DEPTH = 100
# They join or part letters: emoji and several scripts need them.
JOINERS = "\u200c\u200d"
TOO_DEEP = "(nested too deep to be shown)"
# A cut text may end in the middle of a key: so many characters of it, or more, are struck out.
SHORTEST_PART = 4

# How a character is spelled: between NULs, where UTF-16 is read as bytes; in JSON and programs; in URLs; in HTML.
# One kind after the other, again and again: what is not whole yet is left, "%\u00325" is "%25" when its turn comes.
NAMED = {name.lower(): char for name, char in html5.items() if name.endswith(";") and len(char) == 1 and char.isascii()}
SPELLINGS = {
    sign: re.compile(pattern, re.ASCII)
    for sign, pattern in {
        "\0": r"\0+",
        "\\": r"\\(?:(?:U000000|[uU]00|x)(?P<hex>[0-9a-fA-F]{2})|u\{0{0,6}(?P<braced>[0-9a-fA-F]{2})\}"
        r"|(?P<octal>[01][0-7]{2})|(?P<quoted>[^\w\s]))",
        "%": r"%(?:25)*(?:[uU]00)?(?P<hex>[0-9a-fA-F]{2})",
        "&": r"&(?:amp;)*(?:#[xX]0{0,8}(?P<hex>[0-9a-fA-F]{2});?|#0{0,8}(?P<decimal>[0-9]{2,3})(?:;|(?![0-9]))"
        rf"|(?P<named>(?i:{'|'.join(NAMED)})))",
    }.items()
}
CUT = re.compile(r"\.{3,}|…")
# How a cut text may end: in the middle of a character that is spelled.
BEGUN = re.compile(r"(?:\\+[ux0{]*[0-9a-f]{0,2}|%(?:25)*(?:u0*)?[0-9a-f]?|&(?:amp;)*[#x0-9a-z]*)$", re.I)
URL = re.compile(r"(?:https?|wss?)(?::|%3a)(?:\\*/|%2f){2}[^\s\"'<>]+", re.IGNORECASE)
QUERY = re.compile(r"\?|#|%3f|%23|\\+u003f|\\+u0023|&quest;|&num;|&#(?:0*63|x0*3f|0*35|x0*23);?", re.IGNORECASE)


def printable(value: Any, keep: str = "") -> str:
    """Return a value as text of one line in which no character does anything: escapes, directions, line ends.

    :param keep: characters that stay, for a page on which a line end does no harm.
    """
    text = str(value)
    return text if text.isprintable() else "".join(char if char in keep else _seen(char) for char in text)


def _seen(char: str) -> str:
    category = unicodedata.category(char)
    does_something = (category[0] == "C" and char not in JOINERS) or category in ("Zl", "Zp")
    return char.encode("unicode_escape").decode() if does_something else char


def without_queries(text: str) -> str:
    """Return a text whose URLs end before their query and fragment."""
    return URL.sub(lambda found: QUERY.split(found[0], 1)[0], text) if "tp" in text or "ws" in text.lower() else text


@runtime_checkable
class Rewordable(Protocol):
    """An error of this package."""

    def reword(self, by: Callable[[str], str]) -> None: ...


class Redactor:
    """Strikes keys out of texts, however they are spelled there.

    A text is read as it is, then unescaped again and again. Nothing but the key's own characters changes.
    """

    def __init__(self, *keys: str) -> None:
        found = [needle for key in keys if len(key) >= SHORTEST_SECRET for needle in _needles(key)]
        # A library quotes what came until a semicolon: most of a key is the key.
        self._needles = {needle[: max(SHORTEST_SECRET, len(needle) * 2 // 3)]: needle for needle in found}

    def redact(self, text: str) -> str:
        """Return a text without the key; a text longer than ``LONGEST`` is cut there."""
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
        if not self._needles:
            return text
        found = [span for level, at in levels(text) for span in self._spans(_lower(level), at)]
        if "..." in text or "…" in text:
            for mark in list(CUT.finditer(text))[-8:]:
                found += self._cut_keys(text, mark.start())
        return _struck_out(text, found) if found else text

    def _spans(self, lower: str, at: Sequence[int]) -> Iterator[tuple[int, int]]:
        for most, needle in self._needles.items():
            start = lower.find(most)
            while start >= 0:
                size = next(n for n in range(len(needle), 0, -1) if lower.startswith(needle[:n], start))
                yield at[start], at[start + size]
                start = lower.find(most, start + size)

    def _cut_keys(self, text: str, end: int) -> Iterator[tuple[int, int]]:
        """Find the beginning of a key where a text was cut."""
        start = max(0, end - LONGEST // 8)
        for level, at in levels(text[start:end]):
            begun = BEGUN.search(level, max(0, len(level) - 40))
            lower = _lower(level[: begun.start()] if begun else level)
            for needle, tail in product(self._needles.values(), (lower, lower[:-1])):  # the last one may be half read
                size = next((n for n in range(len(needle) - 1, SHORTEST_PART - 1, -1) if tail.endswith(needle[:n])), 0)
                if size:
                    yield start + at[len(tail) - size], end

    def redacted(self, value: Any) -> Any:
        """Return what an answer was read as without the key, the same object if the key is not in it.

        :param value: dataclasses, whose ids go into later requests, or plain JSON types, which are shown.
        """
        if isinstance(value, str):
            return self.redact(value)
        if is_dataclass(value) and not isinstance(value, type):
            known = {name: each for name, each in vars(value).items() if type(each) in (str, list)}
            together = "\n".join([each for each in known.values() if type(each) is str])
            if self.redact(together) is together:  # so a poll costs microseconds
                known = {name: each for name, each in known.items() if type(each) is list}
            return replace(value, **{name: self.redacted(each) for name, each in known.items()}) if known else value
        if isinstance(value, list):
            return [self.redacted(each) for each in value]
        return self._shown(value, MAX_DEPTH) if isinstance(value, Mapping) else value

    def _shown(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.shown(value)
        if not isinstance(value, Mapping | list):
            return value
        if not depth:
            return TOO_DEEP
        if isinstance(value, list):
            return [self._shown(each, depth - 1) for each in value]
        return {self.shown(name): self._shown(each, depth - 1) for name, each in value.items()}

    def shown(self, text: str) -> str:
        """Return a text for a message: without the key and without the queries of URLs."""
        return without_queries(self.redact(text))

    def redact_error(self, error: BaseException) -> None:
        """Redact an error of ours in place, and cut off the causes in which a library quotes the key or a query."""
        if isinstance(error, Rewordable):
            error.reword(self.shown)
        for name in ("__cause__", "__context__"):
            if (link := getattr(error, name)) is None:
                continue
            texts = f"{link} {link.args!r} {vars(link)}"
            if isinstance(link, Rewordable) or self.shown(texts) == texts:
                self.redact_error(link)
            else:
                setattr(error, name, None)


def _lower(text: str) -> str:
    """Return a text in lower case, as long as it is: some letters become two."""
    lower = text.lower()
    return lower if len(lower) == len(text) else re.sub("[A-Z]+", lambda found: found[0].lower(), text)


def levels(text: str) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield a text as it is and as each unescaping leaves it, each with the places of its characters in the text."""
    at: Sequence[int] = range(len(text) + 1)
    yield text, at
    for _ in range(MAX_LEVELS):
        before = text
        for sign, pattern in SPELLINGS.items():
            if sign in text and (found := list(pattern.finditer(text))):
                text, at = _unescaped(text, at, found)
                yield text, at
        if text == before:
            return


def _unescaped(text: str, at: Sequence[int], spelled: list[re.Match[str]]) -> tuple[str, list[int]]:
    pieces, places, done = list[str](), list[int](), 0
    for found in spelled:
        char = CHARS[found.lastgroup](found[found.lastgroup]) if found.lastgroup else ""
        pieces += (text[done : found.start()], char)
        places += at[done : found.start()]
        places += at[found.start() : found.start() + len(char)]
        done = found.end()
    return "".join((*pieces, text[done:])), [*places, *at[done:]]


CHARS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("hex", "braced"), lambda word: chr(int(word, 16))),
    "decimal": lambda word: chr(int(word)),
    "octal": lambda word: chr(int(word, 8)),
    "named": lambda word: NAMED[word.lower()],
    "quoted": str,
}


def _needles(key: str) -> tuple[str, ...]:
    """Return in lower case what to look for: the key, the key as it reads unescaped, its hex, its base64.

    In base64 the key stands in some text: three ways, by its place; the characters that its neighbours share are left.
    """
    data = key.encode()
    plain = {level.lower() for level, _ in levels(key)}
    encoded = {
        b64encode(bytes(fill) + data, altchars)[-(-fill * 8 // 6) : (fill + len(data)) * 8 // 6].decode().lower()
        for fill in range(3)
        for altchars in (b"+/", b"-_")
    }
    return tuple(sorted(needle for needle in {*plain, *encoded, data.hex()} if len(needle) >= SHORTEST_SECRET))


def _struck_out(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, done = list[str](), 0
    for start, end in sorted(spans):
        if start >= done:
            pieces += (text[done:start], "***")
        done = max(done, end)
    return "".join((*pieces, text[done:]))
