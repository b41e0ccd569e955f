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

# A room imports only rooms on the lines above its own. A room is a folder or a module at the top.
LAYERS = (
    ("__init__", "exceptions", "links"),
    ("gateway", "retries"),
    ("polling", "clips"),
    ("hooks", "lineage"),
    ("triggers",),
    ("sensors", "operators"),
    ("decorators",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# Mounted by Airflow's API server, and the far side of tests: no room imports either.
APART = ("plugin", "sandbox")

PURE = tuple(
    f"{room}/{name}.py"
    for room, names in {
        "gateway": ("dialects", "replies", "retry", "routes", "settings", "urls", "values", "video"),
        "polling": ("decisions", "events", "rate_limit", "schedule"),
        "clips": ("ledger", "manifest", "mp4"),
    }.items()
    for name in names
)
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


def files() -> list[str]:
    """Return the files of all rooms but those that stand apart, relative to the package."""
    paths = (path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
    return sorted(str(path) for path in paths if path.parts[0] not in APART)


def room_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


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
    """Return which rooms a file imports; ``__init__`` is the package's own."""
    found = set()
    for module, name in imported(path):
        if module == PACKAGE:
            found.add(name if name and (name in LAYER or name in APART) else "__init__")
        elif module.startswith(f"{PACKAGE}."):
            found.add(module.split(".")[1])
    return found


def outside_imports(path: Path) -> set[str]:
    return {module for module, _ in imported(path) if module.partition(".")[0] != PACKAGE}


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(file) for file in files()} == set(LAYER)


@pytest.mark.parametrize("file", files())
def test_a_room_imports_only_rooms_above_it(file: str) -> None:
    room = room_of(file)
    below = {other for other in own_imports(FOLDER / file) if other != room and LAYER.get(other, 99) >= LAYER[room]}
    assert below == set()


@pytest.mark.parametrize("file", PURE)
def test_a_pure_module_imports_nothing_that_acts(file: str) -> None:
    assert outside_imports(FOLDER / file) - PURE_MAY == set()


@pytest.mark.parametrize("file", PURE)
def test_a_pure_module_names_nothing_that_acts(file: str) -> None:
    tree = tree_of(FOLDER / file)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    taken = {f"{module}.{what}" for module, what in imported(FOLDER / file)}
    assert (names & IMPURE_NAMES) | ((attributes | taken) & IMPURE_CALLS) == set()


def test_of_the_pure_modules_only_exceptions_knows_airflow_and_of_it_two_classes() -> None:
    known = {
        file: {(module, what) for module, what in imported(FOLDER / file) if module.startswith("airflow.")}
        for file in ("exceptions.py", *PURE)
    }
    sdk = "airflow.providers.common.compat.sdk"
    two = {(sdk, "AirflowException"), (sdk, "AirflowFailException")}
    assert known == {"exceptions.py": two} | {file: set() for file in PURE}


def test_sockets_are_opened_by_the_clients_alone_and_files_by_the_stores_alone() -> None:
    sockets = {"aiohttp", "requests", "urllib3", "socket", "httpx", "http.client", "ssl"}
    writers = {"shutil", "tempfile", "pathlib", "fcntl"}  # not os: transport reads the environment with it
    users: dict[str, set[str]] = {"sockets": set(), "files": set()}
    for file in files():
        tops = outside_imports(FOLDER / file)
        users["sockets"] |= {file} if tops & sockets else set()
        users["files"] |= {file} if tops & writers else set()
    clients = {"gateway/client.py", "gateway/async_client.py"}
    # These open none: they name the libraries' types, errors and encoders.
    namers = {"gateway/content.py", "gateway/transport.py", "hooks.py"}
    stores = {"clips/stores/__init__.py", "clips/stores/local.py", "clips/stores/fsspec.py"}
    assert users == {"sockets": clients | namers, "files": stores}


def test_the_sandbox_is_the_far_side_and_knows_neither_airflow_nor_us() -> None:
    for path in sorted((FOLDER / "sandbox").rglob("*.py")):
        assert own_imports(path) <= {"sandbox"}, path
        assert {module for module in outside_imports(path) if module.partition(".")[0] == "airflow"} == set(), path


# --------------------------------------------------------------------------------------- a DAG file's cost

HEAVY = ("aiohttp", "requests", "urllib3", "fsspec", "airflow.providers.http")
LIGHT = ("decorators", "exceptions", "lineage", "links", "operators", "sensors")
PARSE = """
import importlib, sys
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator
before = set(sys.modules)
importlib.import_module(sys.argv[1])
heavy = tuple(sys.argv[2:])
gained = set(sys.modules) - before
print(sorted(name for name in gained if any(f"{name}.".startswith(f"{each}.") for each in heavy)))
"""


@pytest.mark.parametrize("module", LIGHT)
def test_a_dag_file_that_imports_it_loads_no_http_library_and_no_filesystem(module: str) -> None:
    command = [sys.executable, "-c", PARSE, f"{PACKAGE}.{module}", *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_name_that_begins_with_an_underscore_is_used_in_its_own_module_only() -> None:
    taken = {
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for folder in (FOLDER, ROOT / "tests", ROOT / "benchmarks", ROOT / "scripts")
        for path in folder.rglob("*.py")
        for module, name in imported(path)
        if name and name.startswith("_") and not name.startswith("__") and module.startswith(PACKAGE)
    }
    assert taken == set()


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
