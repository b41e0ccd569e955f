"""Makes runs with many task instances in a private Airflow's database, as workers would have left them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

RUN = "manual__2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Left:
    """A task instance as a worker left it.

    :param rendered: its rendered template fields, empty if it has not begun.
    :param xcoms: by key.
    :param seen: how many seconds ago its triggerer was seen; None: it has no trigger. A running Airflow takes triggers.
    """

    task_id: str
    map_index: int
    state: str | None
    rendered: Mapping[str, Any] = field(default_factory=dict)
    xcoms: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    tries: int = 0
    seen: float | None = None


def leave(dag_id: str, run_id: str, instances: Iterable[Left]) -> None:
    """Write task instances into the database; the run and its task instances are there already."""
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete, insert, select, update

    with create_session() as session:
        number = session.scalar(select(DagRun.id).filter_by(dag_id=dag_id, run_id=run_id))
        for table in (Rendered, XComModel):
            session.execute(delete(table).filter_by(dag_id=dag_id, run_id=run_id))
        for left in instances:
            key = {"dag_id": dag_id, "run_id": run_id, "task_id": left.task_id, "map_index": left.map_index}
            values: dict[str, Any] = {
                "state": left.state,
                "start_date": datetime(2026, 1, 1, tzinfo=UTC) if left.rendered else None,
            }
            values["trigger_id"] = None if left.seen is None else leave_trigger(session, left.seen)
            values |= {"_rendered_map_index": left.label, "try_number": left.tries}
            session.execute(update(TaskInstance).filter_by(**key).values(**values))
            if left.rendered:
                session.execute(insert(Rendered).values(**key, rendered_fields=dict(left.rendered)))
            for name, value in left.xcoms.items():
                xcom = {"key": name, "value": json.dumps(value), "dag_run_id": number}
                session.execute(insert(XComModel).values(**key, **xcom))


def leave_trigger(session: Any, seen: float) -> int:
    """Write a trigger that was made an hour ago, and its triggerer; returns the trigger's id."""
    from airflow.jobs.job import Job
    from airflow.models.trigger import Trigger

    now = datetime.now(UTC)
    trigger = Trigger(classpath="any.Trigger", kwargs={}, created_date=now - timedelta(hours=1))
    job = Job(job_type="TriggererJob", state="running", latest_heartbeat=now - timedelta(seconds=seen))
    session.add(job)
    session.flush()
    trigger.triggerer_id = job.id
    session.add(trigger)
    session.flush()
    return int(trigger.id)


@contextmanager
def airflow_app(folder: Path, dags: str, users: Mapping[str, str]) -> Iterator[Any]:
    """Yield Airflow's app with these DAGs; users have a role each, and their initial as the password."""
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    try:
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

        named = {"bundle_name": "dags-folder"}
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import BundleDagBag, sync_bag_to_db

        named = {}

    (folder / "dags.py").write_text(dags)
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({name: name[0] for name in users}))
    with pytest.MonkeyPatch.context() as patch:
        roles = ",".join(f"{name}:{role}" for name, role in users.items())
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", roles)
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "loopback-only-" * 6)
        DagBundlesManager().sync_bundles_to_db()
        sync_bag_to_db(BundleDagBag(dag_folder=folder, bundle_path=folder, **named), "dags-folder", None)
        yield create_app(apps="core")
        purge_cached_app()


def log_in(app: Any, name: str) -> Any:
    """Return a client of the app as a user."""
    from fastapi.testclient import TestClient

    login = {"username": name, "password": name[0]}
    token = TestClient(app).post("/auth/token", json=login).json()["access_token"]
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


def start_run(admin: Any, dag_id: str, run_id: str = RUN, logical_date: str = "2026-01-01T00:00:00Z") -> None:
    """Make a run, and with it its task instances: all that is mapped over a literal is there at once."""
    answer = admin.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id, "logical_date": logical_date})
    assert answer.status_code in (200, 201), answer.text


def refuse_to_open(refused: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the operating system does with a file that may not be read, for root as well."""
    real = os.open

    def open_another(path: Any, *arguments: Any, **options: Any) -> int:
        if os.fspath(path) == str(refused):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_another)
