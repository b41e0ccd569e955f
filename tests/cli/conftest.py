"""Runs a command in this process."""

from __future__ import annotations

import io

import pytest
from commands import AIRFLOWS_LOG, Cli, Ran

from airflow_provider_wisdomgate.cli.main import parser


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command; ``answer`` is what a person types, "" nobody is there."""

    def run(*argv: str, answer: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        capsys.readouterr()
        status = 0
        try:
            arguments = parser().parse_args(argv)
            arguments.func(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        told = capsys.readouterr()
        return Ran(status, told.out, AIRFLOWS_LOG.sub("", told.err))

    return run
