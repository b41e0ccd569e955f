"""docs/versions.md says what each Airflow has; the one that runs is asked."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from versions import FEATURES

from airflow_provider_wisdomgate.links import AIRFLOW

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "versions.md").read_text().partition("\n## ")[0]


def cells() -> dict[str, dict[str, str]]:
    """Return the table: feature, then version, then what it says."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", PAGE, re.M)]
    _, _, *versions = rows[0]
    return {name: dict(zip(versions, said, strict=True)) for name, _, *said in rows[2:]}


def says_yes(cell: str) -> bool:
    if cell == "with FAB":
        return find_spec("flask_appbuilder") is not None
    if found := re.fullmatch(r"from ([0-9.]+)", cell):
        return tuple(map(int, found[1].split("."))) <= AIRFLOW
    assert cell in ("yes", "no"), f"{cell!r} can be compared with nothing"
    return cell == "yes"


def test_the_table_has_a_row_for_each_feature_that_is_asked_for() -> None:
    assert list(cells()) == list(FEATURES)


@pytest.mark.parametrize("feature", FEATURES)
def test_the_table_says_what_the_running_airflow_has(feature: str) -> None:
    cell = cells()[feature].get(".".join(map(str, AIRFLOW[:2])))
    assert cell is not None, f"the table has no column for Airflow {AIRFLOW}"
    assert FEATURES[feature]() == says_yes(cell)


def test_every_column_is_an_environment_of_the_matrix() -> None:
    environments = {path.stem.removeprefix("airflow-") for path in (ROOT / "constraints").glob("airflow-*.txt")}
    environments |= set(re.findall(r"^apache-airflow==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M))
    assert {version for row in cells().values() for version in row} == environments
