# PYTHON_ARGCOMPLETE_OK
"""The command `wisdomgate`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, NoReturn

import argcomplete

from airflow_provider_wisdomgate import __version__
from airflow_provider_wisdomgate.cli.definition import WISDOMGATE, Command, Group
from airflow_provider_wisdomgate.cli.run import ERROR, runner

COMPLETION = 'Shell completion: eval "$(register-python-argcomplete wisdomgate)"'


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all errors here."""

    def error(self, message: str) -> NoReturn:
        self.exit(ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Make the parser of `wisdomgate`."""
    about = f"{WISDOMGATE.help}. {WISDOMGATE.description}"
    top = OneLineParser(prog=WISDOMGATE.name, description=about, epilog=COMPLETION)
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_all(top, WISDOMGATE)
    return top


def _add_all(to: argparse.ArgumentParser, group: Group) -> None:
    below = to.add_subparsers(metavar="COMMAND", required=True, parser_class=OneLineParser)
    for entry in group.commands:
        made = below.add_parser(entry.name, help=entry.help, description=entry.description or entry.help)
        if isinstance(entry, Group):
            _add_all(made, entry)
        else:
            _add_command(made, entry)


def _add_command(to: argparse.ArgumentParser, command: Command) -> None:
    for argument in command.arguments:
        options: dict[str, Any] = dict(argument.options)
        to.add_argument(*argument.flags, **options)
    to.set_defaults(func=runner(command))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or exit with another status."""
    made = parser()
    argcomplete.autocomplete(made)
    arguments = made.parse_args(argv)
    _prepare_airflow()
    arguments.func(arguments)
    return 0


def _prepare_airflow() -> None:
    """Do what the command `airflow` does first. Log lines go to stderr, and only warnings unless somebody asked."""
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    with redirect_stdout(sys.stderr):
        from airflow import settings

        settings.initialize()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main())
