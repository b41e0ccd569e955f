"""Builds the distributions, checks what is in them, and does with the wheel what a user does first."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_string
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
NAME, PACKAGE = "airflow-provider-wisdomgate", "airflow_provider_wisdomgate"
IN_DIST_INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
IMPORT_DAGS = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print(json.dumps([sorted(bag.dags), {str(path): error for path, error in bag.import_errors.items()}]))
"""


class WrongError(Exception):
    """A check that did not hold."""


def main() -> int:
    """Return the exit status."""
    with tempfile.TemporaryDirectory(prefix="wisdomgate-package-") as folder:
        try:
            wheel = build(Path(folder))
            use(wheel, Path(folder))
        except WrongError as wrong:
            print(f"WRONG: {wrong}", file=sys.stderr)
            return 1
    return 0


def build(scratch: Path) -> Path:
    """Build into dist/ and return the checked wheel."""
    print(f"== Building into {DIST.relative_to(ROOT)}/", flush=True)
    shutil.rmtree(DIST, ignore_errors=True)
    run("uv", "build", "--out-dir", DIST)  # the wheel from the sdist
    run("uv", "build", "--wheel", "--out-dir", scratch / "direct")
    run("twine", "check", "--strict", *DIST.glob(f"{PACKAGE}-*"))
    told("twine check --strict")
    (wheel,), (direct,) = DIST.glob("*.whl"), (scratch / "direct").glob("*.whl")
    check(
        wheel.name == direct.name and contents(wheel) == contents(direct), "the sdist builds into the very same wheel"
    )

    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*") if path.is_file()}
    ours = {name for name in files if "__pycache__" not in name}
    info = f"{PACKAGE}-{version()}.dist-info/"
    wrong = set(contents(wheel)) ^ ours ^ {info + name for name in IN_DIST_INFO}
    check(not wrong, f"the wheel holds the package's {len(ours)} files and its metadata, nothing else", sorted(wrong))
    return wheel


def resolve_the_images(wheel: Path, venv: Path) -> None:
    """Resolve what the documentation's Dockerfile installs, with the wheel in the place of the index's."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    (line,) = re.findall(r"^RUN pip install (.+)$", page, re.MULTILINE)
    (airflow,) = re.findall(r"^FROM apache/airflow:(.+)$", page, re.MULTILINE)
    wanted = [each.replace("${AIRFLOW_VERSION}", airflow) for each in re.findall(r'"(.+?)"', line)]
    wanted = [re.sub(rf"^({NAME}\[\w+\]).*", rf"\1 @ {wheel.as_uri()}", each) for each in wanted]
    pins = ROOT / "constraints.txt"
    python = venv / "bin" / "python"
    run("uv", "pip", "install", "--dry-run", "--python", python, "--constraint", pins, *wanted)
    told(f"the Dockerfile's requirements can be met: {', '.join(wanted)}")


def use(wheel: Path, scratch: Path) -> None:
    """Install the wheel where nothing else is and do all else there, away from the checkout."""
    print("== An empty environment", flush=True)
    venv, away = scratch / "venv", scratch / "away"
    away.mkdir()
    run("uv", "venv", "--quiet", "--python", sys.executable, venv)
    resolve_the_images(wheel, venv)
    wanted = f"{NAME}[sandbox] @ {wheel.as_uri()}"
    pins = ROOT / "constraints.txt"
    run("uv", "pip", "install", "--quiet", "--python", venv / "bin" / "python", "--constraint", pins, wanted)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VIRTUAL_ENV"))} | {
        "PATH": f"{venv / 'bin'}:/usr/bin:/bin",
        "AIRFLOW_HOME": str(scratch / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(scratch / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(scratch / "clips"),
    }

    def inside(*command: str, **more: str) -> str:
        return run(venv / "bin" / command[0], *command[1:], env=env | more, cwd=away)

    lost = re.findall(r"\]\((?!https?://)[^)]*\)", description(wheel))
    check(not lost, "no link of the description needs a clone", lost)
    look_at_the_provider(inside, venv)
    with sandbox(venv, env, away) as url:
        connection = json.dumps({"conn_type": "wisdomgate", "host": url, "password": "sandbox-key"})
        look_at_connections(inside, connection, url)
        run_the_dag(inside, wheel, scratch)


def look_at_the_provider(inside: Callable[..., str], venv: Path) -> None:
    """Ask Python and Airflow what was installed."""
    where = inside("python", "-c", f"import {PACKAGE} as package; print(package.__file__)").strip()
    check(Path(where).is_relative_to(venv), "the package is imported from there", where)

    (got,) = listed(inside("airflow", "providers", "get", NAME, "--output", "json"))
    check(got["Version"] == version(), f"airflow providers get {NAME} tells version {version()}", got)
    hooks = {each["connection_type"]: each for each in listed(inside("airflow", "providers", "hooks", "-o", "json"))}
    check(hooks.get("wisdomgate", {}).get("hook_name") == "WisdomGate", "airflow providers hooks lists the type", hooks)


def look_at_connections(inside: Callable[..., str], connection: str, url: str) -> None:
    """Add a connection to Airflow's database and get it."""
    inside("airflow", "db", "migrate")
    inside("airflow", "connections", "add", "wisdomgate_default", "--conn-json", connection)
    (shown,) = listed(inside("airflow", "connections", "get", "wisdomgate_default", "-o", "json"))
    check((shown["conn_type"], shown["host"]) == ("wisdomgate", url), "airflow connections add and get", shown)


def run_the_dag(inside: Callable[..., str], wheel: Path, scratch: Path) -> None:
    """Import the example DAGs, and run the one that the wheel's README has."""
    dags, clips = scratch / "dags", scratch / "clips"
    shutil.copytree(ROOT / "example_dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    (dags / "generate_video.py").write_text(readme_dag(wheel))
    names, wrong = json.loads(inside("python", "-c", IMPORT_DAGS).splitlines()[-1])
    expected = sorted(path.stem for path in dags.glob("*.py"))
    check((names, wrong) == (expected, {}), f"the example DAGs are imported: {', '.join(names)}", wrong)

    log = inside("airflow", "dags", "test", "generate_video")
    found = sorted(clips.rglob("*.mp4"))
    check(len(found) == 1, "the README's DAG leaves one clip", log)
    record = json.loads(Path(f"{found[0]}.json").read_text())
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    check(record["phase"] == "stored" and record["sha256"] == digest, f"it is whole: {record['size']} bytes", record)

    (row,) = json.loads(inside("wisdomgate", "clips", "list", str(clips), "--output", "json"))
    check((row["state"], row["uri"]) == ("stored", record["uri"]), "wisdomgate clips list prints just it", row)
    inside("airflow", "wisdomgate", "clips", "verify", str(clips))
    told("airflow wisdomgate clips verify finds nothing that differs")


def readme_dag(wheel: Path) -> str:
    """Return the DAG of the README that the wheel carries."""
    (dag,) = (block for block in re.findall(r"```python\n(.*?)```", description(wheel), re.DOTALL) if "DAG(" in block)
    return dag


def description(wheel: Path) -> str:
    """Return what a package index shows of the wheel."""
    metadata = contents(wheel)[f"{PACKAGE}-{version()}.dist-info/METADATA"].decode()
    return str(message_from_string(metadata).get_payload())


@contextmanager
def sandbox(venv: Path, env: dict[str, str], away: Path) -> Iterator[str]:
    """Start the sandbox gateway that the wheel brings, and yield its URL."""
    command = [venv / "bin" / "wisdomgate-sandbox", "--port=0", "--render-seconds=1", "--print-url"]
    with subprocess.Popen(command, env=env, cwd=away, stdout=subprocess.PIPE, text=True) as gateway:
        try:
            assert gateway.stdout
            told_url = (line.partition("WISDOMGATE_SANDBOX_URL=")[2].strip() for line in gateway.stdout)
            yield next(url for url in told_url if url)
        finally:
            gateway.terminate()


def run(*command: Any, **options: Any) -> str:
    """Run a command and return what it printed; its errors stand in the exception."""
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise WrongError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def listed(output: str) -> list[dict[str, Any]]:
    """Read the rows that an airflow command prints as JSON, after whatever it logs."""
    begin = re.search(r"^\[(?!\d{4})", output, re.MULTILINE)
    if begin is None:
        raise WrongError(f"no rows in\n{output}")
    rows: list[dict[str, Any]] = json.loads(output[begin.start() :])
    return rows


def contents(wheel: Path) -> dict[str, bytes]:
    """Return a wheel's files."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def version() -> str:
    """Return the version, from the one place that has it."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def check(holds: bool, what: str, otherwise: Any = "") -> None:
    """Print a fact, or stop with what was found instead."""
    if not holds:
        raise WrongError(f"not so: {what}\n{otherwise}")
    told(what)


def told(what: str) -> None:
    """Print a fact that was checked."""
    print(f"   ok  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
