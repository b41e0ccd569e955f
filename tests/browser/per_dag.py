"""Asks the player as users of the FAB auth manager with rights to one DAG, and prints the statuses as JSON.

Run by test_per_dag.py in a virtual environment that has FAB: the SimpleAuthManager knows no rights per DAG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import create_app
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb
from fastapi.testclient import TestClient

from airflow_provider_wisdomgate.ledger.record import Manifest

DAGS = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

for name in ("mine", "theirs"):
    with DAG(name, schedule=None) as dag:
        Generate(task_id="clip", model="any", prompt="a cat")
    globals()[name] = dag
"""
READ_RUNS = [("can_read", "Task Instances"), ("can_read", "DAG Runs")]
ROLES = {
    "one_dag": [("can_read", "DAG:mine"), ("can_read", "XComs"), *READ_RUNS],
    "no_xcoms": [("can_read", "DAGs"), *READ_RUNS],
}


def main(folder: Path) -> None:
    """Make the database, the users and a clip of each DAG, then ask."""
    initdb()
    (folder / "d.py").write_text(DAGS)
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder"), "dags-folder", None)
    app = create_app(apps="core")
    add_users()
    admin = client(app, "admin")
    for dag in ("mine", "theirs"):
        add_clip(admin, dag, folder / f"{dag}.mp4")
    asked = {user: statuses(client(app, user)) for user in ("admin", *ROLES)}
    print(json.dumps(asked))


def add_users() -> None:
    with get_application_builder() as builder:
        security = builder.sm
        security.sync_roles()
        for name, rights in ROLES.items():
            role = security.add_role(name)
            for action, resource in rights:
                security.add_permission_to_role(role, security.create_permission(action, resource))
        for user, name in {"admin": "Admin", **{name: name for name in ROLES}}.items():
            security.add_user(user, user, user, f"{user}@localhost", security.find_role(name), password=user)


def client(app: Any, user: str) -> TestClient:
    token = TestClient(app).post("/auth/token", json={"username": user, "password": user}).json()["access_token"]
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


def add_clip(admin: TestClient, dag: str, file: Path) -> None:
    file.write_bytes(bytes(5000))
    manifest = Manifest("stored", "claim", str(file), 0.0, size=5000, sha256="0" * 64, made_by={"dag_id": dag})
    Path(f"{file}.json").write_bytes(manifest.dump())
    run = {"dag_run_id": "run", "logical_date": "2026-01-01T00:00:00Z"}
    admin.post(f"/api/v2/dags/{dag}/dagRuns", json=run).raise_for_status()
    entry = {"key": "return_value", "value": {"uri": str(file)}, "map_index": -1}
    admin.post(f"/api/v2/dags/{dag}/dagRuns/run/taskInstances/clip/xcomEntries", json=entry).raise_for_status()


def statuses(user: TestClient) -> dict[str, list[int]]:
    parts = {"Range": "bytes=0-9"}
    asked = ("player", "clip", "clip?dag_id=mine")
    pages = ("run/{}/run/videos", "run/{}/run/videos?dag_id=mine", "dag/{}/videos", "dag/{}/videos?dag_id=mine")
    paths = [*(f"ti/{{}}/run/clip/-1/{what}" for what in asked), *pages]
    return {
        dag: [user.get(f"/wisdomgate/{path.format(dag)}", headers=parts).status_code for path in paths]
        for dag in ("mine", "theirs", "~")
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
