"""The page of a DAG: a row for each of its latest runs. Pure: it is given all that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_wisdomgate.links import run_url
from airflow_provider_wisdomgate.plugin.html import Html, tag
from airflow_provider_wisdomgate.plugin.layout import document, epoch_of, pager, query, time_of
from airflow_provider_wisdomgate.plugin.run_api import RUNS_PER_PAGE, Run
from airflow_provider_wisdomgate.plugin.run_page import NUMBERS, RARE, value_of
from airflow_provider_wisdomgate.plugin.run_sums import WANTED, Sums

# From {prefix}/wisdomgate/dag/{dag}/videos
TO_AIRFLOW = "../" * 3
NO_RUNS = "The DAG has no runs, or there is no such DAG."


@dataclass(frozen=True)
class DagView:
    """The values of one page.

    :param rows: runs and their sums; None if the rows above have filled the page.
    :param page: counted from 1.
    """

    dag_id: str
    rows: Sequence[tuple[Run, Sums | None]]
    total: int
    page: int
    is_tab: bool = False


def dag_page(view: DagView) -> str:
    """Return the whole page."""
    back = None if view.is_tab else tag("a", "Back to the DAG", href=f"{TO_AIRFLOW}dags/{quote(view.dag_id, safe='')}")
    title = tag("div", tag("p", "Videos, run by run", class_="where"), tag("h1", view.dag_id))
    if view.rows:
        main = tag("main", _table(view))
    else:
        main = tag("main", tag("div", tag("h2", "No runs"), tag("p", NO_RUNS), class_="notice none", role="status"))
    return document(f"Videos of {view.dag_id}", tag("header", title, back), main)


def _table(view: DagView) -> Html:
    names = [name for name in NUMBERS if name not in RARE]
    heads = [tag("th", name, scope="col") for name in ("run", "state", "when", *(NUMBERS[each][0] for each in names))]
    rows = [_row(view, run, sums, names) for run, sums in view.rows]
    caption = tag("caption", "The videos of each run, the latest run first")
    table = tag("table", caption, tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    last = max(1, -(-view.total // RUNS_PER_PAGE))
    more = pager(view.page, last, lambda number: query(view.is_tab, page=number), "More runs")
    frame = tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Runs")
    return tag("section", frame, more, class_="runs")


def _row(view: DagView, run: Run, sums: Sums | None, names: Sequence[str]) -> Html:
    state = tag("span", run.state, class_=f"state {run.state}") if run.state else None
    first = tag("th", tag("a", run.ref.run_id, href=_address(view, run, None)), scope="row")
    when = tag("td", time_of(epoch_of(run.at), None))
    if sums is None:
        cells = [tag("td", "Many clips: open the run to count them.", colspan=len(names))]
    else:
        cells = [_cell(view, run, sums, name) for name in names]
    return tag("tr", first, tag("td", state), when, *cells)


def _cell(view: DagView, run: Run, sums: Sums, name: str) -> Html:
    value = value_of(sums, name)
    if not sums.of(WANTED) or value in ("0", "0 s", "0 bytes"):
        return tag("td", "0" if name not in ("seconds", "bytes") else "", class_="number none")
    choice = None if name == WANTED else "stored" if name in ("seconds", "bytes") else name
    return tag("td", tag("a", value, href=_address(view, run, choice)), class_=f"number {name}")


def _address(view: DagView, run: Run, choice: str | None) -> str:
    found = query(view.is_tab, state=choice)
    return f"{TO_AIRFLOW}{run_url(run.ref.dag_id, run.ref.run_id)}{found if found != '?' else ''}"
