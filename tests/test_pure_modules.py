"""Deciding is pure: these modules open no socket and no file, read no clock, take no chance, and log nothing."""

from __future__ import annotations

import ast

import pytest
from source import FOLDER, imported, outside_imports, tree_of

PURE = (
    "arguments.py",
    "foreign.py",
    *(
        f"{room}/{name}.py"
        for room, names in {
            "gateway": ("dialects", "replies", "retry", "routes", "settings", "values", "video", "wire"),
            "polling": ("decisions", "rate_limit"),
            "clips": ("matroska", "mp4", "names", "tracks"),
            "ledger": ("record", "rules"),
        }.items()
        for name in names
    ),
)
# All that deciding needs of the standard library: no socket, no file, no clock, no chance.
PURE_MAY = {
    "__future__",
    "array",
    "backports",
    "base64",
    "brotli",
    "collections.abc",
    "compression",
    "contextlib",
    "dataclasses",
    "datetime",
    "difflib",
    "email.utils",
    "functools",
    "hashlib",
    "html.entities",
    "itertools",
    "json",
    "logging",
    "math",
    "re",
    "shlex",
    "struct",
    "typing",
    "unicodedata",
    "urllib.parse",
    "zlib",
}
IMPURE_NAMES = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
# Of what PURE_MAY lets in, these read a clock or write to a log.
IMPURE_CALLS = {"email.utils.localtime", "email.utils.formatdate", "email.utils.make_msgid", "logging.getLogger"}
IMPURE_CALLS |= {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"}


@pytest.mark.parametrize("file", PURE)
def test_a_pure_module_imports_nothing_that_acts(file: str) -> None:
    assert outside_imports(file) - PURE_MAY == set()


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
