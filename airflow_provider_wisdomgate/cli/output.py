"""The output for people and programs. A manifest is anybody's file: nothing of it reaches the terminal as a command."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.ledger.rules import amount_of, utc

# Wide enough that what another program reads is never folded.
PIPE_WIDTH = 10_000
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


_own: TextIO | None = None


@contextmanager
def own_output() -> Iterator[TextIO]:
    """Keep stdout for what a command prints; what else is printed meanwhile, such as log lines, goes to stderr."""
    global _own
    before, _own = _own, sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield _own
    finally:
        _own = before


def put(*texts: str, sep: str = "") -> None:
    """Print a line of output."""
    print(*texts, sep=sep, file=_own or sys.stdout)


def say(text: str) -> None:
    """Print a line for people, beside the output: on stderr. Only characters that do something are changed."""
    print(printable(text), file=sys.stderr, flush=True)


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """Print rows as JSON or CSV, one after the other, with the columns' names. None is null, or nothing."""
    if output == "csv":
        _show_csv(rows, columns)
        return
    count = 0
    for row in rows:
        put("," if count else "[", dump({name: row.get(name) for name in columns}), sep="\n" if count else "")
        count += 1
    put("]" if count else "[]")


def _show_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    writer = csv.writer(_own or sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow("" if row.get(name) is None else printable(row[name]) for name in columns)


def dump(value: Any, indent: int | None = None) -> str:
    """Return JSON of ASCII characters that are seen; what is no number is null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], styles: Mapping[str, str] | None = None) -> None:
    """Print a table for people. A cell whose text is in ``styles`` gets that colour, in a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        texts = ["" if cell is None else printable(cell) for cell in row]
        table.add_row(*(Text(text, style=(styles or {}).get(text, "")) for text in texts))
    console = Console(file=_own or sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.file.isatty():  # FORCE_COLOR makes everything a terminal
        console.width = PIPE_WIDTH
    console.print(table, soft_wrap=False)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Progress]:
    """Show in a terminal that something goes on; task 0 of what is yielded is it. Nothing if there is none."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    told = TextColumn("{task.description}", markup=False)
    bar = Progress(*columns, told, console=console, transient=True, disable=not console.is_terminal)
    bar.add_task(printable(what), total=total)
    with bar if console.is_terminal else nullcontext():  # older ones of rich end with an empty line all the same
        yield bar


def is_terminal() -> bool:
    """Whether a person may be watching what is printed beside the output."""
    return Console(stderr=True).is_terminal


def bytes_of(size: Any) -> str:
    """Write a number of bytes, ``1.2 MB``; nothing if there is none."""
    return amount_of(size, "B") if isinstance(size, int) and not isinstance(size, bool) else ""


def age_of(seconds: float | None) -> str:
    """Write how long ago, ``3 h``; nothing if nobody knows."""
    if seconds is None:
        return ""
    length, unit = next((each for each in UNITS if seconds >= each[0]), UNITS[-1])
    return f"{int(seconds // length)} {unit}"


def moment_of(epoch: Any) -> str:
    """Write epoch seconds as UTC; what is no time as it is."""
    if not isinstance(epoch, int | float) or not 0 < epoch < 1e11:
        return "" if epoch is None else str(epoch)
    return utc(epoch)
