"""Every code block of the README and the docs does what it says: it is executed, or its command is parsed."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate import operators
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

ROOT = Path(__file__).parent.parent
PLACES = [ROOT / "airflow_provider_wisdomgate", ROOT / "tests", ROOT / "docs"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(language, code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (language, code) in enumerate(re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S))
]


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_a_code_block_works(language: str, code: str, tmp_path: Path) -> None:
    if language == "python" and "def test_" in code:
        run_tests(code, tmp_path)
    elif language == "python":
        exec(compile(code, "block", "exec"), {"__name__": "block"})
    elif language == "mermaid":
        check_names(code)
    elif language == "text":
        assert "claim" in code  # the diagram of states: tests/ledger/test_states.py compares it
    elif language == "dockerfile":
        check_image(code)
    elif language == "console":  # with what it prints: tests/browser/test_lost_create.py compares that
        for line in re.findall(r"^\$ (.*)$", code, re.M):
            check_command(line)
    else:
        assert language == "bash", "a block of a language that nothing here can check"
        for line in code.replace("\\\n", " ").splitlines():
            check_command(line)


def check_names(diagram: str) -> None:
    """Look for the files and folders that a diagram names."""
    package = ROOT / "airflow_provider_wisdomgate"
    named = re.findall(r"[a-z_/]+(?:\.py|/)(?=[:, \"])", diagram)
    assert [name for name in named if not (package / name).exists()] == []


def test_all_that_the_architecture_page_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    files = [path for folder in PLACES for path in folder.rglob("*") if "__pycache__" not in path.parts]
    source = "\n".join(path.read_text() for path in files if path.suffix == ".py")
    defined = set(re.findall(r"^ *(?:class|def|async def) (\w+)|^(\w+)(?:: [^=\n]+)? = ", source, re.M))
    known = {name for names in defined for name in names} | {str(path.relative_to(ROOT)) for path in files}
    known |= {str(path.relative_to(PLACES[0])) for path in files if PLACES[0] in path.parents}
    known |= {name for path in files for name in (path.name, path.stem)}
    known |= {path.name for path in (ROOT / "scripts").iterdir()}
    named = {name.removeprefix("./scripts/").rstrip("/") for name in re.findall(r"`([\w./]+)`", page)}
    assert named - known - {"tests", "airflow.providers.common.compat.sdk"} == set()


def run_tests(code: str, tmp_path: Path) -> None:
    (tmp_path / "test_block.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout


def check_image(code: str) -> None:
    """Compare with the versions here, and ask hadolint."""
    from airflow_provider_wisdomgate import __version__

    pins = (ROOT / "constraints.txt").read_text()
    (airflow,) = re.findall(r"^FROM apache/airflow:(\S+)$", code, re.M)
    assert f"apache-airflow=={airflow}\n" in pins
    assert re.findall(r'"airflow-provider-wisdomgate\[\w+\]==(.+?)"', code) == [__version__]
    if not (hadolint := Path(sys.executable).with_name("hadolint")).exists():
        pytest.skip("hadolint is in the development environment only")
    done = subprocess.run([hadolint, "-"], input=code, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")


def check_command(line: str) -> None:
    first, *arguments = shlex.split(line)
    if first == "export":
        name, _, value = arguments[0].partition("=")
        assert name.startswith("AIRFLOW_")
        assert not name.startswith("AIRFLOW_CONN") or json.loads(value)["conn_type"] == "wisdomgate"
    elif first == "airflow":
        from airflow.cli.cli_parser import get_parser

        get_parser().parse_args(arguments)
    elif first == "wisdomgate":
        from airflow_provider_wisdomgate.cli.main import parser as commands

        commands().parse_args(arguments)
    elif first == "wisdomgate-sandbox":
        from airflow_provider_wisdomgate.sandbox.cli import parser

        with pytest.raises(SystemExit, match="0"):
            parser().parse_args(arguments)
    else:
        assert (ROOT / first).is_file(), f"{first} is nothing that can be run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def documented_arguments(name: str) -> dict[str, str]:
    """Read a class's table on the operators page: argument -> default, of rows that say what it means."""
    page = (ROOT / "docs" / "operators.md").read_text()
    section = re.split(r"^##", page.partition(f"# {name}\n")[2], maxsplit=1, flags=re.M)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| \S.* \|$", section, re.M))


@pytest.mark.parametrize(
    "kind",
    [
        operators.WisdomGateGenerateVideoOperator,
        operators.WisdomGateCreateVideoOperator,
        operators.WisdomGateDownloadVideoOperator,
        WisdomGateVideoSensor,
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_operators_page_lists_every_argument_with_its_default(kind: type) -> None:
    real = {
        name: written_default(parameter)
        for base in kind.__mro__
        if base.__module__.startswith("airflow_provider_wisdomgate") and "__init__" in vars(base)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }
    assert documented_arguments(kind.__name__) == real


def written_default(parameter: inspect.Parameter) -> str:
    if parameter.name == "deferrable":
        return "`[operators] default_deferrable`"
    return "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`".replace("'", '"')


def test_the_operators_page_names_only_errors_that_there_are() -> None:
    page = (ROOT / "docs" / "operators.md").read_text()
    assert [name for name in re.findall(r"`(\w+Error)`", page) if not hasattr(errors, name)] == []


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


def test_the_reference_has_all_that_a_dag_author_imports() -> None:
    from airflow_provider_wisdomgate import decorators, hooks, sensors, triggers

    shown = set(re.findall(r"^::: (\S+)$", "\n".join(page.read_text() for page in PAGES), re.M))
    public = {f"{operators.__name__}.{name}" for name in operators.__all__} | {errors.__name__}
    for module in (decorators, hooks, sensors, triggers):
        ours = [name for name in vars(module) if name.lower().startswith("wisdomgate")]
        public |= {f"{module.__name__}.{name}" for name in ours if vars(module)[name].__module__ == module.__name__}
    assert public - shown == set()
