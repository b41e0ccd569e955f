"""Every code block of the README and the docs does what it says: it is executed, or its command is parsed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_wisdomgate import exceptions as errors

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(language, code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (language, code) in enumerate(re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S))
]


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_a_code_block_works(language: str, code: str, tmp_path: Path) -> None:
    if language == "python" and "def test_" in code:
        run_tests(code, tmp_path)
    elif language == "python":
        exec(compile(code, "block", "exec"), {"__name__": "block"})
    else:
        assert language == "bash", "a block of a language that nothing here can check"
        for line in code.replace("\\\n", " ").splitlines():
            check_command(line)


def run_tests(code: str, tmp_path: Path) -> None:
    (tmp_path / "test_block.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout


def check_command(line: str) -> None:
    first, *arguments = shlex.split(line)
    if first == "export":
        name, _, value = arguments[0].partition("=")
        assert name.startswith("AIRFLOW_")
        assert not name.startswith("AIRFLOW_CONN") or json.loads(value)["conn_type"] == "wisdomgate"
    elif first == "airflow":
        from airflow.cli.cli_parser import get_parser

        get_parser().parse_args(arguments)
    elif first == "wisdomgate-sandbox":
        from airflow_provider_wisdomgate.sandbox.cli import parser

        with pytest.raises(SystemExit, match="0"):
            parser().parse_args(arguments)
    else:
        assert (ROOT / first).is_file(), f"{first} is nothing that can be run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_troubleshooting_lists_every_error_and_whether_it_is_final() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.M)
    bases = {errors.WisdomGateError, errors.GatewayError}
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.WisdomGateError) and kind not in bases
    }
    final = {name: "yes" if issubclass(kind, errors.AirflowFailException) else "no" for name, kind in classes.items()}
    assert dict(rows) == final
