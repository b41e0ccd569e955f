"""Imports point one way. Read from the source with ast, so that nothing need be imported to find out."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_wisdomgate"
FOLDER = ROOT / PACKAGE

# A module imports only those on the lines above its own.
LAYERS = (
    ("__init__",),
    ("exceptions", "pacing", "links"),
    ("replies", "mp4", "ledger", "retries"),
    ("protocol", "waiting", "stores"),
    ("settings",),
    ("transport",),
    ("client",),
    ("storage", "connection"),
    ("keeping", "lookout"),
    ("hooks", "lineage"),
    ("triggers",),
    ("sensors", "operators"),
    ("decorators",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

PURE = ("replies", "protocol", "pacing", "waiting", "mp4", "ledger", "settings")
# All that deciding needs of the standard library: no socket, no file, no clock, no chance.
PURE_MAY = {
    "__future__",
    "collections.abc",
    "dataclasses",
    "datetime",
    "email.utils",
    "functools",
    "hashlib",
    "json",
    "logging",
    "math",
    "re",
    "struct",
    "typing",
    "urllib.parse",
}
IMPURE_NAMES = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
# Of what PURE_MAY lets in, these read a clock or write to a log.
IMPURE_CALLS = {"email.utils.localtime", "email.utils.formatdate", "email.utils.make_msgid", "logging.getLogger"}
IMPURE_CALLS |= {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"}


def modules() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield every import of a file, wherever it stands in it: (module, name taken from it)."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are absolute here"
            yield from ((str(node.module), alias.name) for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """Return which of our modules a file imports; ``__init__`` is the package's own."""
    found = set()
    for module, name in imported(path):
        if module == PACKAGE:
            found.add(name if name and (name in LAYER or (FOLDER / name).is_dir()) else "__init__")
        elif module.startswith(f"{PACKAGE}."):
            found.add(module.split(".")[1])
    return found


def outside_imports(path: Path) -> set[str]:
    return {module for module, _ in imported(path) if module.partition(".")[0] != PACKAGE}


def test_every_module_stands_in_the_table() -> None:
    assert set(modules()) == set(LAYER)


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_what_stands_above_it(name: str) -> None:
    below = {other for other in own_imports(FOLDER / f"{name}.py") if LAYER.get(other, 99) >= LAYER.get(name, 99)}
    assert below == set()


def test_nothing_of_the_package_imports_the_sandbox() -> None:
    assert [name for name in modules() if "sandbox" in own_imports(FOLDER / f"{name}.py")] == []


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_that_acts(name: str) -> None:
    assert outside_imports(FOLDER / f"{name}.py") - PURE_MAY == set()


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_names_nothing_that_acts(name: str) -> None:
    tree = tree_of(FOLDER / f"{name}.py")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    taken = {f"{module}.{what}" for module, what in imported(FOLDER / f"{name}.py")}
    assert (names & IMPURE_NAMES) | ((attributes | taken) & IMPURE_CALLS) == set()


def test_of_the_pure_modules_only_exceptions_knows_airflow_and_of_it_two_classes() -> None:
    known = {
        name: {(module, what) for module, what in imported(FOLDER / f"{name}.py") if module.startswith("airflow.")}
        for name in ("exceptions", *PURE)
    }
    sdk = "airflow.providers.common.compat.sdk"
    two = {(sdk, "AirflowException"), (sdk, "AirflowFailException")}
    assert known == {"exceptions": two} | {name: set() for name in PURE}


def test_sockets_are_opened_in_one_module_and_files_in_one_other() -> None:
    sockets = {"aiohttp", "requests", "urllib3", "socket", "httpx", "http.client", "ssl"}
    files = {"shutil", "tempfile", "pathlib", "fcntl"}  # not os: transport reads the environment with it
    users: dict[str, set[str]] = {"sockets": set(), "files": set()}
    for name in modules():
        tops = outside_imports(FOLDER / f"{name}.py")
        users["sockets"] |= {name} if tops & sockets else set()
        users["files"] |= {name} if tops & files else set()
    # hooks only names the type of the session that HttpHook makes, transport the libraries' errors and settings
    assert users == {"sockets": {"client", "hooks", "transport"}, "files": {"stores"}}


def test_the_sandbox_is_the_far_side_and_knows_neither_airflow_nor_us() -> None:
    for path in sorted((FOLDER / "sandbox").rglob("*.py")):
        assert own_imports(path) <= {"sandbox"}, path
        assert {module for module in outside_imports(path) if module.partition(".")[0] == "airflow"} == set(), path


# ------------------------------------------------------------------------------------------ the package

MEASURE = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
before = set(sys.modules)
start = time.perf_counter()
import {PACKAGE}
took = time.perf_counter() - start
gained = sorted(set(sys.modules) - before)
info = {PACKAGE}.get_provider_info()
after = sorted(set(sys.modules) - before)
import json
print(json.dumps([took, gained, after, info["package-name"]]))
"""


def measured() -> tuple[float, list[str], list[str], str]:
    """Import the package in a fresh interpreter without site packages: (seconds, modules gained, ...)."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE],
        env={"PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    took, gained, after, name = json.loads(done.stdout)
    return took, gained, after, name


def test_importing_the_package_imports_nothing_else_and_costs_next_to_nothing() -> None:
    runs = [measured() for _ in range(5)]
    assert {(tuple(gained), tuple(after), name) for _, gained, after, name in runs} == {
        ((PACKAGE,), (PACKAGE,), "airflow-provider-wisdomgate")
    }
    assert min(took for took, *_ in runs) < 0.005
