"""How many functions and modules of this package one generate passes through. Run by ./scripts/bench trace.

Counts, not times: each call and return of a function of ours, in the thread of the task, from ``execute`` to the stored
clip, not deferred. A change is a call or a return that leads to another module than the one before.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import airflow_provider_wisdomgate
from airflow_provider_wisdomgate.sandbox import Sandbox

PACKAGE = str(Path(airflow_provider_wisdomgate.__file__).parent)


class Trace:
    """Counts calls by function and module."""

    def __init__(self) -> None:
        self.functions: Counter[tuple[str, str]] = Counter()
        self.modules: Counter[str] = Counter()
        self.changes = 0
        self._last = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if event not in ("call", "return") or not name.startswith(PACKAGE) or name.startswith(f"{PACKAGE}/sandbox"):
            return
        module = name.removeprefix(f"{PACKAGE}/").removesuffix(".py")
        if event == "call":
            self.functions[module, frame.f_code.co_qualname] += 1
            self.modules[module] += 1
        self.changes += module != self._last
        self._last = module


def context() -> dict[str, Any]:
    """Return what the operator reads of Airflow's context."""
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="clip", map_index=-1, max_tries=0, start_date=None)
    return {"ti": ti, "dag_run": SimpleNamespace(start_date=None)}


def main() -> int:
    """Print the counts; ``--modules`` lists the modules and their calls."""
    with tempfile.TemporaryDirectory() as folder, Sandbox(render_seconds=0.5) as sandbox:
        extra = {"storage_path": folder}
        connection = {"conn_type": "wisdomgate", "host": sandbox.url, "password": sandbox.api_key, "extra": extra}
        os.environ["AIRFLOW_CONN_WISDOMGATE_DEFAULT"] = json.dumps(connection)
        from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

        def operator(name: str) -> Any:
            return WisdomGateGenerateVideoOperator(
                task_id="clip", model="any", prompt="a cat", seconds=1, size="64x48", destination=name, poll_interval=1
            )

        operator("first.mp4").execute(context())  # what is imported and read only once does not count
        trace, second = Trace(), operator("second.mp4")
        sys.setprofile(trace)
        second.execute(context())
        sys.setprofile(None)
    print(f"{len(trace.functions)} functions, {len(trace.modules)} modules, {trace.changes} module changes")
    if "--modules" in sys.argv:
        for module, calls in trace.modules.most_common():
            print(f"{calls:6} {module}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
