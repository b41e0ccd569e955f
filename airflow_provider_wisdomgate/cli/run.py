"""Runs one command, and ends with one line and an exit status whatever happens in it."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module

from airflow_provider_wisdomgate.cli.definition import Command

DIFFERS, ERROR, INTERRUPTED = 1, 2, 130


def runner(command: Command, program: str = "wisdomgate") -> Callable[[Namespace], None]:
    """Return a function that runs a command and exits where its status is not 0."""

    def run(arguments: Namespace) -> None:
        if status := run_command(command, arguments, program):
            sys.exit(status)

    run.__name__ = command.runs.rpartition(":")[2]
    return run


def run_command(command: Command, arguments: Namespace, program: str) -> int:
    """Run a command and return its exit status; an error is one line on stderr."""
    # Not at the top: completion and --help need none of it.
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_wisdomgate.cli.output import say

    module, _, name = command.runs.partition(":")
    try:
        status: int = getattr(import_module(module), name)(arguments)
        sys.stdout.flush()
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
