"""The page of a run: the sums, and a grid of all its clips. Pure: it is given all that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_provider_wisdomgate.ledger.rules import GROUPS, amount_of
from airflow_provider_wisdomgate.links import player_url
from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.airflow_api import RunRef
from airflow_provider_wisdomgate.plugin.html import Html, tag
from airflow_provider_wisdomgate.plugin.layout import document, pager, query
from airflow_provider_wisdomgate.plugin.run_sums import ALL_STATES, CREATES, WANTED, RunClip, Sums, chosen, states_of
from airflow_provider_wisdomgate.plugin.run_tiles import tile

CLIPS_PER_PAGE = 48
# From {prefix}/wisdomgate/run/{dag}/{run}/videos
TO_AIRFLOW = "../" * 4


def _meaning(group: str) -> str:
    """Explain a group by the states that it counts."""
    return " ".join(labels.sentence(f"{state.label}: {state.means}") for state in states_of(group))


# A name and a meaning for each number.
NUMBERS = {
    WANTED: ("wanted", "Task instances that make a clip, without the skipped ones: the sum of all up to not found."),
    **{group: (words, _meaning(group)) for group, words in GROUPS.items()},
    CREATES: (
        "creates sent",
        "Creates of this run that the manifests record; a create that is in progress or lost counts. A manifest "
        "records its last create, so there were more if a failed clip was requested again. An earlier run's clip costs "
        "none.",
    ),
    "seconds": ("of video", "The length of the stored clips, by their manifests."),
    "bytes": ("in storage", "The bytes of the stored clips."),
}
# Shown only if they count something.
RARE = ("unknown", "skipped")
NO_CLIPS = "No task of this run makes a clip, or there is no such run."
UNREADABLE = "The API server could not read the manifests of {} clips; its log has the reason."


@dataclass(frozen=True)
class RunView:
    """The values of one page.

    :param choice: a filter, as :func:`run_sums.chosen` reads it.
    :param page: counted from 1.
    """

    run: RunRef
    clips: Sequence[RunClip]
    sums: Sums
    choice: str
    page: int
    now: float
    is_tab: bool = False

    def address(self, choice: str | None, page: int = 1) -> str:
        return query(self.is_tab, state=choice, page=page if page > 1 else None)


def run_page(view: RunView) -> str:
    """Return the whole page."""
    title = f"Videos of {view.run.run_id}"
    if not view.clips:
        notice = tag("div", tag("h2", "No clips here"), tag("p", NO_CLIPS), class_="notice none", role="status")
        return document(title, _header(view), tag("main", notice))
    return document(title, _header(view), tag("main", _sums(view), _grid(view), class_="run"))


def _header(view: RunView) -> Html:
    run = view.run
    dag = f"{TO_AIRFLOW}wisdomgate/dag/{quote(run.dag_id, safe='')}/videos{'?tab' if view.is_tab else ''}"
    page = f"{TO_AIRFLOW}dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"
    back = None if view.is_tab else tag("a", "Back to the run", href=page)
    title = tag("div", tag("p", run.dag_id, class_="where"), tag("h1", run.run_id))
    again = tag("a", "Refresh", href=view.address(view.choice, view.page)) if view.clips else None
    return tag("header", title, again, tag("a", "All runs", href=dag), back)


def _sums(view: RunView) -> Html:
    names = [name for name in NUMBERS if name not in RARE or view.sums.of(name)]
    numbers = tag("ul", *(_number(view, name) for name in names), class_="sums")
    meanings = [part for name in names for part in (tag("dt", NUMBERS[name][0]), tag("dd", NUMBERS[name][1]))]
    help_ = tag("details", tag("summary", "What these numbers mean"), tag("dl", *meanings))
    unread = view.sums.unreadable
    warning = tag("p", UNREADABLE.format(unread), class_="warning", role="status") if unread else None
    return tag("nav", warning, numbers, help_, aria_label="Sums, each leads to its clips")


def _number(view: RunView, name: str) -> Html:
    choice = "stored" if name in ("seconds", "bytes") else name
    is_here = name == (view.choice or WANTED)
    kind = f"sum {name}" + (" some" if name in GROUPS and view.sums.of(name) else "")
    words = (tag("strong", value_of(view.sums, name)), " ", tag("span", NUMBERS[name][0]))
    address = view.address(None if choice == WANTED else choice)
    return tag("li", tag("a", *words, href=address, aria_current="page" if is_here else None), class_=kind)


def value_of(sums: Sums, name: str) -> str:
    """Write one of ``NUMBERS``."""
    values: dict[str, Any] = {CREATES: f"{sums.creates:,}", "bytes": amount_of(sums.size)}
    values["seconds"] = f"{sums.seconds:,.0f} s"
    return values[name] if name in values else f"{sums.of(name):,}"


def _grid(view: RunView) -> Html:
    choice = view.choice or WANTED
    clips = chosen(view.clips, choice)
    last = max(1, -(-len(clips) // CLIPS_PER_PAGE))
    page = min(view.page, last)
    first = (page - 1) * CLIPS_PER_PAGE
    shown = clips[first : first + CLIPS_PER_PAGE]
    tiles = [tile(each, f"{TO_AIRFLOW}{_player(each)}", view.is_tab, view.now) for each in shown]
    name = NUMBERS[choice][0] if choice in NUMBERS else ALL_STATES[choice].label if choice in ALL_STATES else choice
    count = f"{first + 1}–{first + len(shown)} of {len(clips):,}" if last > 1 else f"{len(clips)}"  # noqa: RUF001
    headline = tag("h2", f"Clips: {name} ", tag("span", count, class_="count"))
    more = pager(page, last, lambda number: view.address(view.choice, number), "More clips")
    content = tag("ol", *tiles) if tiles else tag("p", "None.", class_="where")
    return tag("section", headline, content, more, class_="strip", aria_label="Clips")


def _player(clip: RunClip) -> str:
    ref = clip.instance.ref
    return player_url(ref.dag_id, ref.run_id, ref.task_id, ref.map_index)
