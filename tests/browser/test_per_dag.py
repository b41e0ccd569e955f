"""Rights to one DAG do not show another's clips. With the FAB auth manager, in a virtual environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-fab"
NEEDS = ["apache-airflow==3.3.2", "apache-airflow-providers-fab==3.10.2"]


@pytest.fixture
def python_with_fab() -> Path:
    """A Python with FAB; made once (half a minute from a warm cache)."""
    python = VENV / "bin" / "python"
    if not (VENV / ".made").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV], check=True, timeout=120)
        install = [*uv, "pip", "install", "--quiet", "--python", python, *NEEDS, "--editable", ROOT]
        subprocess.run(install, check=True, timeout=600)
        (VENV / ".made").touch()
    return python


def test_a_user_of_one_dag_is_refused_the_others_clips(python_with_fab: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "loopback-only-" * 6,
        "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(tmp_path),
    }
    command = [python_with_fab, Path(__file__).with_name("per_dag.py"), tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]
    allowed, refused, absent = [200, 206, 206, 200, 200, 200, 200], [403] * 7, [404] * 7
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "admin": {"mine": allowed, "theirs": allowed, "~": absent},
        "one_dag": {"mine": allowed, "theirs": refused, "~": absent},
        "no_xcoms": {"mine": refused, "theirs": refused, "~": refused},
    }
