"""The command, the pytest fixture, and what the sandbox imports."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from gateway_calls import made, raw

from airflow_provider_wisdomgate.sandbox import Sandbox, directives
from airflow_provider_wisdomgate.sandbox.cli import parser

ROOT = Path(__file__).resolve().parents[2]

FOLDER = ROOT / "airflow_provider_wisdomgate" / "sandbox"

IGNORED_BY_PLUGINS = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        Sandbox(host=host)


def test_the_sandbox_logs_no_traceback_for_what_it_breaks_on_purpose(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for fault in ("drop", "cut", "cut-close", "cut-chunked"):
        raw(sandbox, f"/v1/videos/{made(sandbox, f'a cat [sandbox: content={fault}]')}/content", timeout=0.05)
    ours = [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio", "airflow_provider"))]
    assert (ours, capfd.readouterr().err) == ([], "")


def test_help_lists_every_fault_and_directive_and_says_what_this_is_not() -> None:
    text = parser().format_help()
    names = [fault.name for fault in directives.FAULTS] + [directive.key for directive in directives.DIRECTIVES]
    assert [name for name in names if not re.search(rf"^  {re.escape(name)}(=\S+)?\s", text, re.MULTILINE)] == []
    assert "no gateway and makes no AI video" in text


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_url_serves_and_ends_cleanly(ending: signal.Signals) -> None:
    command = [sys.executable, "-m", "airflow_provider_wisdomgate.sandbox.cli", "--print-url", "--api-key", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        name, _, url = process.stdout.readline().strip().partition("=")
        reply = requests.get(f"{url}/v1/models", headers={"Authorization": "Bearer mine"}, timeout=5)
        process.send_signal(ending)
        _, errors = process.communicate(timeout=10)
    assert (name, reply.status_code, process.returncode, errors) == ("WISDOMGATE_SANDBOX_URL", 200, 0, "")


def test_the_command_refuses_a_host_that_others_can_reach() -> None:
    command = [sys.executable, "-m", "airflow_provider_wisdomgate.sandbox.cli", "--host", "0.0.0.0"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20, check=False)
    assert (ran.returncode, "loopback only" in ran.stderr) == (2, True)


def run_pytest(folder: Path, test: str, conftest: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(test)
    (folder / "conftest.py").write_text(conftest)
    plugin = "airflow_provider_wisdomgate.sandbox.pytest_plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", str(folder)]
    environment = {**os.environ, **IGNORED_BY_PLUGINS}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=60, check=False)


def test_the_fixture_starts_fresh_for_each_test(tmp_path: Path) -> None:
    test = """
import pytest, requests
@pytest.mark.parametrize("time", [1, 2])
def test_it(wisdomgate_sandbox, time):
    headers = {"Authorization": "Bearer " + wisdomgate_sandbox.api_key}
    assert requests.get(wisdomgate_sandbox.url + "/v1/models", headers=headers).status_code == 200
    assert wisdomgate_sandbox.counts()["models"] == 1
"""
    ran = run_pytest(tmp_path, test)
    assert (ran.returncode, "2 passed" in ran.stdout) == (0, True), ran.stdout


def test_the_fixture_without_the_extra_says_how_to_install_it(tmp_path: Path) -> None:
    without = "import sys\nsys.modules['uvicorn'] = None\n"
    ran = run_pytest(tmp_path, "def test_it(wisdomgate_sandbox): ...", without)
    assert (ran.returncode, "pip install 'airflow-provider-wisdomgate[sandbox]'" in ran.stdout) == (1, True)


def test_loading_the_plugin_loads_no_server() -> None:
    code = (
        "import sys, airflow_provider_wisdomgate.sandbox.pytest_plugin;"
        "print([name for name in ('uvicorn', 'starlette', 'av', 'PIL', 'airflow') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_sandbox_imports_neither_airflow_nor_the_provider() -> None:
    names = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names.add(node.module or "")
    assert {name for name in names if name.startswith("airflow") and ".sandbox" not in name} == set()
