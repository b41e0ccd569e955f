"""Imports point one way: a room uses only the rooms above it. A room is a folder, or a module at the top."""

from __future__ import annotations

import pytest
from source import FOLDER, PACKAGE, ROOT, files, imported, outside_imports, room_of, rooms_imported

LAYERS = (
    ("foreign",),
    ("__init__", "exceptions", "killed", "links", "metrics"),
    ("control", "retries"),
    ("gateway",),
    ("arguments", "clips"),
    ("polling",),
    ("ledger",),
    ("hooks", "lineage"),
    ("triggers",),
    ("sensors", "operators"),
    ("decorators", "cli"),
)
# Airflow's API server mounts the plugin; the sandbox is the far side of tests. No room imports either.
APART = {"plugin": {"plugin", "ledger", "clips", "exceptions", "foreign", "links"}, "sandbox": {"sandbox"}}

MAY_IMPORT = APART | {room: {room}.union(*LAYERS[:number]) for number, rooms in enumerate(LAYERS) for room in rooms}


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(file) for file in files()} == set(MAY_IMPORT)


@pytest.mark.parametrize("file", files())
def test_a_room_imports_only_rooms_above_it(file: str) -> None:
    assert rooms_imported(file) - MAY_IMPORT[room_of(file)] == set()


def test_the_sandbox_knows_no_airflow() -> None:
    found = {module for file in files() if room_of(file) == "sandbox" for module in outside_imports(file)}
    assert {module for module in found if module.partition(".")[0] == "airflow"} == set()


def test_sockets_are_opened_by_the_clients_alone_and_files_by_the_stores_alone() -> None:
    sockets = {"aiohttp", "requests", "urllib3", "socket", "httpx", "http.client", "ssl"}
    writers = {"shutil", "tempfile", "pathlib", "fcntl"}  # not os: transport reads the environment with it
    uses = {file: outside_imports(file) for file in files() if room_of(file) not in APART}
    clients = {"gateway/client.py", "gateway/async_client.py"}
    # These open none: they name the libraries' types, errors and encoders, or resolve a name.
    namers = {"gateway/content.py", "gateway/elsewhere.py", "gateway/transport.py", "hooks.py"}
    assert {file for file, modules in uses.items() if modules & sockets} == clients | namers
    stores = {f"clips/stores/{name}.py" for name in ("__init__", "local", "fsspec", "uploads")}
    assert {file for file, modules in uses.items() if modules & writers} == stores


def test_a_name_that_begins_with_an_underscore_is_imported_by_no_other_module() -> None:
    taken = {
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for folder in (FOLDER, ROOT / "tests", ROOT / "benchmarks", ROOT / "scripts")
        for path in folder.rglob("*.py")
        for module, name in imported(path)
        if name and name.startswith("_") and not name.startswith("__") and module.startswith(PACKAGE)
    }
    assert taken == set()
