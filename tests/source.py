"""Reads the package's source with ast, so that nothing need be imported to find out what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_wisdomgate"
FOLDER = ROOT / PACKAGE


def room_of(file: str) -> str:
    """Return a file's room: the folder or the module at the top of the package."""
    return file.partition("/")[0].removesuffix(".py")


def files() -> list[str]:
    return sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.py"))


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


def rooms_imported(file: str) -> set[str]:
    """Return which rooms a file imports; ``__init__`` is the package's own."""
    rooms, found = {room_of(other) for other in files()}, set()
    for module, name in imported(FOLDER / file):
        if module == PACKAGE:
            found.add(name if name in rooms else "__init__")
        elif module.startswith(f"{PACKAGE}."):
            found.add(module.split(".")[1])
    return found


def outside_imports(file: str) -> set[str]:
    return {module for module, _ in imported(FOLDER / file) if module.partition(".")[0] != PACKAGE}
