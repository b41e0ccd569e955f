"""Starts a real Airflow of several processes on free loopback ports, and stops all of it again.

SQLite and the LocalExecutor unless told otherwise. For tests, proofs and scripts/ui.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

BIN = Path(sys.executable).parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, is_true: Callable[[], Any], seconds: float, pause: float = 0.5) -> Any:
    """Return the first true value, or fail naming what did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := is_true():
            return value
        time.sleep(pause)
    raise TimeoutError(f"{what} did not happen within {seconds:g} s")


@dataclass
class Deployment:
    """A real Airflow. ``environment`` adds to its environment variables; values there win.

    :param login: an admin's name and password, where not all are admins.
    :param prefix: the path that it is served under, e.g. ``/team/af``.
    """

    dags: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    components: tuple[str, ...] = COMPONENTS
    all_admins: bool = True
    login: tuple[str, str] | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wisdomgate-deployment-")
        self.home = Path(self._folder.name)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.users: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return clean | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(self.all_admins),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in self.users.items()),
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "loopback-only-loopback-only-loopback-only-loopback-only-loopback",
            "AIRFLOW__API__SECRET_KEY": "loopback-only",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__TRIGGERER__TRIGGERER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
            # So late Airflow sees that a task has deferred; it fails one whose trigger fires before.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            **self.environment,
        }

    def airflow(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an airflow command to its end."""
        command = [str(BIN / "airflow"), *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=300)
        if check and done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def start(self, name: str, *command: str) -> None:
        """Start a component in a process group of its own; its log is ``{home}/{name}.log``."""
        arguments = command or (str(BIN / "airflow"), name)
        with open(self.home / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                arguments, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def add_user(self, name: str, password: str, role: str) -> None:
        """Let somebody log in: a role of the SimpleAuthManager's. Before the start."""
        self.users[name] = role
        file = self.home / "simple_auth_manager_passwords.json.generated"
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**known, name: password}))

    def kill(self, name: str, how: int = signal.SIGKILL) -> None:
        """Kill a component and all its children."""
        process = self.processes.pop(name)
        try:
            os.killpg(process.pid, how)
            process.wait(20)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def __enter__(self) -> Deployment:
        try:
            if self.login:
                self.add_user(*self.login, role="admin")
            self.airflow("db", "migrate")
            for name in self.components:
                self.start(name)
            wait_until("Airflow answering", self.is_healthy, 180)
        except BaseException:
            print(self.logs(), file=sys.stderr)
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():  # all at once: each takes its time
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for name in reversed(list(self.processes)):
            self.kill(name, signal.SIGTERM)
        self._folder.cleanup()

    def is_healthy(self) -> bool:
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        wanted = {"scheduler", "dag_processor", "triggerer"}
        return all((health.get(name) or {}).get("status") == "healthy" for name in wanted)

    def token(self, username: str | None = None, password: str | None = None) -> str:
        """Return an API token: anybody's where all are admins, else the named user's."""
        username, password = (username, password) if username else (self.login or (None, None))
        if username is None:
            answer = requests.get(f"{self.url}/auth/token", timeout=30)
        else:
            login = {"username": username, "password": password}
            answer = requests.post(f"{self.url}/auth/token", json=login, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def api(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Call the public REST API and return its JSON."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        answer = requests.request(method, f"{self.url}/api/v2{path}", json=body, headers=headers, timeout=60)
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    def has_dag(self, dag_id: str) -> bool:
        try:
            self.api("GET", f"/dags/{dag_id}")
        except RuntimeError:
            return False
        return True

    def trigger(self, dag_id: str, conf: Any = None) -> str:
        """Wait for a DAG to be there, trigger it and return the run's id."""
        wait_until(f"DAG {dag_id} being parsed", lambda: self.has_dag(dag_id), 120)

        def begun() -> Any:
            try:
                return self.api("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
            except RuntimeError as error:
                if "Database error" not in str(error):
                    raise
                return None  # another process of this Airflow was writing to its SQLite: no run was made

        run = wait_until(f"a run of {dag_id}", begun, 60)
        return str(run["dag_run_id"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float) -> str:
        """Return the state that a run ends in."""

        def ended() -> str | None:
            state = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return state if state in ("success", "failed") else None

        return str(wait_until(f"the end of run {run_id}", ended, seconds))

    def task_instances(self, dag_id: str, run_id: str = "~") -> list[dict[str, Any]]:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self.api("GET", f"{path}?limit=100&offset={len(found)}")
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def log_of(self, name: str) -> str:
        """Return a component's whole log."""
        return (self.home / f"{name}.log").read_text()

    def logs(self) -> str:
        """Return the end of each component's log, for an error message."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self.home.glob("*.log")))


def connection(**fields: Any) -> str:
    """Write a connection as the JSON of an environment variable."""
    return json.dumps(fields)
