"""Builds HTML in which nothing can be forgotten to be escaped. Pure: what is not built here is text."""

from __future__ import annotations

from html import escape
from typing import Any

from airflow_provider_wisdomgate.foreign import printable

VOID = {"link", "meta", "source"}


class Html(str):
    """HTML that is finished."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: Any) -> Html:
    """Return an element. Children that are no Html are escaped, None is left out.

    Attributes: ``class_`` is ``class``, ``_`` in a name is ``-``, True has no value, None and False are left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    inner = "".join(text(child) for child in children if child is not None)
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{inner}</{name}>")


def text(child: object) -> Html:
    """Return text as HTML, in which no character does anything: a manifest is anybody's file."""
    return child if isinstance(child, Html) else Html(escape(printable(child, keep="\n")))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'
