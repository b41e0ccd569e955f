"""Runs one command, and ends with one line and an exit status whatever happens in it."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from airflow_provider_wisdomgate.cli.definition import Command

DIFFERS, ERROR, INTERRUPTED = 1, 2, 130
CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def runner(command: Command, program: str = "wisdomgate") -> Callable[[Namespace], None]:
    """Return a function that runs a command and exits if its status is not 0."""

    def run(arguments: Namespace) -> None:
        if status := run_command(command, arguments, program):
            sys.exit(status)

    run.__name__ = command.runs.rpartition(":")[2]
    return run


def run_command(command: Command, arguments: Namespace, program: str) -> int:
    """Run a command and return its exit status; an error is one line on stderr."""
    # Not at the top: completion and --help need none of it.
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_wisdomgate.cli.output import own_output, say

    module, _, name = command.runs.partition(":")
    try:
        with own_output() as out, _with_all_connections():
            status: int = getattr(import_module(module), name)(arguments)
            out.flush()
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DIFFERS
    except KeyboardInterrupt:
        say(f"{program}: interrupted")
        return INTERRUPTED
    except AirflowException as error:
        say(f"{program}: {error}")
        return ERROR
    return status


@contextmanager
def _with_all_connections() -> Iterator[None]:
    """Let Airflow 3 look for connections in its database, too, as its own `airflow connections test` does."""
    before = os.environ.get(CONTEXT)
    os.environ[CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CONTEXT]
        else:
            os.environ[CONTEXT] = before
