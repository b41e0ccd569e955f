"""Brings up a whole Airflow for a person to look at, and takes all of it down again. Never leaves loopback.

Nothing is kept: the database, the clips and the logs go with it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import Deployment

ROOT = Path(__file__).parent.parent
LOGIN = ("admin", "admin")
CONNECTION = "wisdomgate_default"


def main() -> int:
    """Run until Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="the UI's port (default: a free one)")
    parser.add_argument("--render-seconds", type=float, default=12.0, help="until a video is made (default: 12)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with Sandbox(render_seconds=arguments.render_seconds) as sandbox, deployment(arguments.port) as airflow:
            connect(airflow, sandbox)
            tell(airflow, sandbox)
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    print("\n== Stopped; nothing is left.", flush=True)
    return 0


def deployment(port: int | None) -> Deployment:
    """Make an Airflow with the example DAGs, a login and the player; not started yet."""
    print("== Starting Airflow (half a minute)", flush=True)
    airflow = Deployment(ROOT / "example_dags", all_admins=False, login=LOGIN)
    airflow.port = port or airflow.port
    clips = airflow.home / "clips"
    clips.mkdir()
    airflow.environment = {
        "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(clips),
        "AIRFLOW__WISDOMGATE__VIDEO_TAB": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }
    return airflow


def connect(airflow: Deployment, sandbox: Sandbox) -> None:
    """Add the connection where a person can see it; one in the environment would not be listed."""
    gateway = {"conn_type": "wisdomgate", "host": sandbox.url, "password": sandbox.api_key}
    airflow.api("POST", "/connections", {"connection_id": CONNECTION, **gateway})


def tell(airflow: Deployment, sandbox: Sandbox) -> None:
    """Print where everything is."""
    print(f"   Airflow   {airflow.url}   user {LOGIN[0]}, password {LOGIN[1]}")
    print(f"   gateway   {sandbox.url}   the sandbox; connection {json.dumps(CONNECTION)} points to it")
    print(f"   clips     {airflow.home / 'clips'}")
    print("== Trigger generate_video or generate_many_videos, open the task, press Video. Ctrl-C stops.", flush=True)


def _stop(number: int, frame: object) -> None:
    """Ended once; what takes everything down must not be interrupted."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
