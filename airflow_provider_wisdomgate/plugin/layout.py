"""Shared by all pages: the document around a body, the style, addresses and times. Pure. No JavaScript."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.html import Html, tag

STYLE = "".join((Path(__file__).parent / name).read_text() for name in ("player.css", "run.css"))
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def document(title: str, *body: Html | None, refresh: int | None = None) -> str:
    """Return a whole page.

    :param refresh: seconds after which the browser asks for it again.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="refresh", content=refresh) if refresh else None,
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    return "<!doctype html>" + tag("html", head, tag("body", *body), lang="en")


def query(is_tab: bool, **values: Any) -> str:
    """Return a query that keeps to the frame; values that are None or empty are left out."""
    given = urlencode({name: value for name, value in values.items() if value})
    parts = [part for part in ("tab" if is_tab else "", given) if part]
    return f"?{'&'.join(parts)}"


def time_of(epoch: Any, now: float | None) -> Html | None:
    """Return a moment (epoch seconds), None for a value that is no time; with the distance from ``now``, if given."""
    at = labels.moment(epoch)
    if at is None:
        return None
    away = "" if now is None else f" ({labels.distance(epoch, now)})"
    return Html(tag("time", f"{at:%Y-%m-%d %H:%M} UTC", datetime=at.isoformat()) + away)


def epoch_of(iso: str | None) -> float | None:
    """Read one of Airflow's times."""
    return datetime.fromisoformat(iso).timestamp() if iso else None


def copyable(value: Any) -> Html | None:
    """A value that one click selects whole, so that copying needs no script."""
    return tag("code", value, class_="copy", title="A click selects it", tabindex="0") if value else None


def pager(page: int, last: int, address: Any, label: str) -> Html | None:
    """Return links to the pages before and after, None if there is only one.

    :param address: makes the address of a page, counted from 1.
    """
    if last <= 1:
        return None
    earlier = tag("a", "Earlier", href=address(page - 1), rel="prev") if page > 1 else None
    later = tag("a", "Later", href=address(page + 1), rel="next") if page < last else None
    return tag("nav", earlier, tag("span", f"Page {page} of {last}"), later, class_="pager", aria_label=label)
