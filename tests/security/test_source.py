"""The source is searched for what runs text, reads pickles or starts a shell."""

from __future__ import annotations

import ast

import pytest
from key_search import PACKAGE

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "subprocess", "pty", "commands"}


def dangers(source: str) -> list[str]:
    """Name what runs text as code, reads objects from bytes or starts a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += [
                name for name in [ast.unparse(node.func)] if name in FORBIDDEN_CALLS or name.startswith("os.exec")
            ]
            found += ["shell" for keyword in node.keywords if keyword.arg == "shell"]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.ImportFrom):
            found += [name for alias in node.names if (name := f"{node.module}.{alias.name}") in FORBIDDEN_CALLS]
    return found


def test_no_module_runs_text_reads_pickles_or_starts_a_shell() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert {path.name for path in modules} >= {"client.py", "local.py", "app.py", "server.py"}
    assert {path: found for path in modules if (found := dangers(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec('1')",
        "import pickle",
        "from marshal import loads",
        "os.system('x')",
        "from os import system",
        "import subprocess as s",
        "run('x', shell=True)",
        "yaml.load(x)",
    ],
)
def test_the_search_for_dangers_finds_them(source: str) -> None:
    assert dangers(source) != []
