"""The tests on every Airflow that is allowed, each in an environment of its own. Run by ./scripts/test-matrix.

It says in PYTHON which Python, and in PYTHON_VERSION which version that is: a session's name ends with it.
"""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"

PINS = {
    "3.3": "constraints.txt",
    **{name: f"constraints/airflow-{name}.txt" for name in ("3.2", "3.1", "3.0", "2.11")},
    "oldest": "constraints/oldest.txt",
}


def report_of(name: str) -> Path:
    """Return where pytest writes a session's counts."""
    return Path(".nox", f"{name}.xml")


def define(name: str, pins: str) -> None:
    """Make the session that runs the tests on some pins."""

    @nox.session(name=name, python=os.environ["PYTHON"])
    def tests(session: nox.Session) -> None:
        report_of(name).unlink(missing_ok=True)
        session.install("--exact", "--constraint", pins, "--editable", ".[s3,sandbox]", "--group", "test")
        arguments = session.posargs or ["--numprocesses", "3", "--dist", "loadfile"]
        session.run("python", "-m", "pytest", f"--junit-xml={report_of(name)}", *arguments)


for environment, pins in PINS.items():
    define(f"{environment}-py{os.environ['PYTHON_VERSION']}", pins)


@nox.session(python=False, default=False)
def summary(session: nox.Session) -> None:
    """Print what the sessions before this one counted; the arguments are their names."""
    row = "{:13} {:8} {:>7} {:>7} {:>8} {:>8}".format
    print(row("environment", "Airflow", "passed", "failed", "skipped", "minutes"))
    for name in session.posargs:
        (airflow,) = re.findall(r"^apache-airflow==(.+)$", Path(PINS[name.partition("-")[0]]).read_text(), re.MULTILINE)
        if not report_of(name).exists():
            print(row(name, airflow, "did not run", "", "", ""))
            continue
        suite = ElementTree.parse(report_of(name)).getroot()[0]  # noqa: S314  # we wrote it
        tests, failures, errors, skipped = (int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped"))
        failed = failures + errors
        print(row(name, airflow, tests - failed - skipped, failed, skipped, f"{float(suite.get('time')) / 60:.1f}"))
