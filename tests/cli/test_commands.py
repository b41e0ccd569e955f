"""One definition of the commands, two programs that have them; what the gateway says; help and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from commands import Cli, manifest
from scripted import http, scripted
from support import LocalPlace, made, put_manifest

from airflow_provider_wisdomgate.cli.airflow_commands import get_cli_commands
from airflow_provider_wisdomgate.cli.definition import STATES, WISDOMGATE, Command, Group
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.sandbox import Sandbox

BIN = Path(sys.executable).parent


def commands(group: Group = WISDOMGATE, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    for entry in group.commands:
        if isinstance(entry, Group):
            yield from commands(entry, (*path, entry.name))
        else:
            yield (*path, entry.name), entry


COMMANDS = dict(commands())


def test_the_words_for_a_state_are_those_of_the_ledger() -> None:
    assert tuple(rules.STATES) == STATES


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_runs_a_function_and_its_help_names_every_argument(path: tuple[str, ...], cli: Cli) -> None:
    module, _, name = COMMANDS[path].runs.partition(":")
    assert callable(getattr(import_module(module), name))
    ran = cli(*path, "--help")
    assert (ran.status, ran.err) == (0, "")
    for argument in COMMANDS[path].arguments:
        assert argument.options["help"]
        name = argument.flags[-1]
        assert (name if name.startswith("-") else argument.options.get("metavar", name)) in ran.out


def of_airflow(entry: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not hasattr(entry, "subcommands"):
        yield path
        return
    for each in entry.subcommands:
        yield from of_airflow(each, (*path, each.name))


def test_airflow_gets_the_same_commands() -> None:
    (group,) = get_cli_commands()
    assert (group.name, set(of_airflow(group))) == ("wisdomgate", set(COMMANDS))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    # Airflow's own program, not ours, puts a warning about itself on stdout where Python is 3.14: see docs/cli.md.
    quiet = {"PYTHONWARNINGS": "ignore::PendingDeprecationWarning"} if command[0] == "airflow" else {}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def in_database(airflow_db: None, sandbox: Sandbox) -> Iterator[str]:
    """A connection that only Airflow's database knows."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    conn_id = "only_in_the_database"
    with create_session() as session:
        session.add(Connection(conn_id, "wisdomgate", host=sandbox.url, password=sandbox.api_key))
    yield conn_id
    with create_session() as session:
        session.query(Connection).filter_by(conn_id=conn_id).delete()


@pytest.mark.parametrize(
    "program",
    [["wisdomgate"], pytest.param(["airflow", "wisdomgate"], marks=pytest.mark.needs("airflow wisdomgate"))],
    ids=" ".join,
)
def test_both_programs_print_only_their_output_and_find_every_connection(
    program: list[str], local: LocalPlace, in_database: str
) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0))
    listed = run(*program, "clips", "list", str(local.folder), "-o", "json")
    assert (listed.returncode, json.loads(listed.stdout)[0]["state"]) == (0, "lost")
    tested = run(*program, "test", "--conn-id", in_database)
    assert (tested.returncode, "The key works at" in tested.stderr) == (0, True)
    wrong = run(*program, "clips", "show", local.uri("nothing.mp4"))
    last = wrong.stderr.splitlines()[-1]
    assert (wrong.returncode, last.startswith(f"{' '.join(program)}: There is no manifest")) == (2, True)


def test_a_shell_completes_commands_and_options() -> None:
    """As register-python-argcomplete's script asks, over the file descriptor 8."""
    line = "wisdomgate clips "
    env = os.environ | {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    script = f'exec 8>&1 9>/dev/null; exec "{BIN}/wisdomgate" >/dev/null 2>&1'
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=120)
    offered = {word.strip() for word in done.stdout.splitlines()}
    assert offered >= {"list", "show", "verify", "adopt", "forget", "fetch"}


def test_help_and_completion_import_no_airflow() -> None:
    code = "import sys; from airflow_provider_wisdomgate.cli.main import parser; parser()"
    code += "; print('airflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


# ------------------------------------------------------------------------------------------ what the gateway says


def test_a_video_is_shown(cli: Cli, hook: WisdomGateHook) -> None:
    video_id = made(hook)
    shown = json.loads(cli("videos", "get", video_id, "-o", "json").out)
    assert (shown["id"], shown["status"]) == (video_id, "completed")
    table = cli("videos", "get", video_id)
    assert (table.status, video_id in table.out, "created_at" in table.out) == (0, True, True)
    assert cli("videos", "get", video_id, "-o", "csv").out.splitlines()[1].startswith(video_id)


def test_videos_are_listed(cli: Cli, hook: WisdomGateHook) -> None:
    ids = {made(hook) for _ in range(3)}
    assert {row["id"] for row in json.loads(cli("videos", "list", "-o", "json").out)} == ids
    table = cli("videos", "list")
    assert table.out.splitlines()[0].split()[:2] == ["ID", "STATUS"]
    assert len(table.out.splitlines()) == 4


def test_a_video_is_deleted_only_after_a_yes(cli: Cli, hook: WisdomGateHook, sandbox: Sandbox) -> None:
    video_id = made(hook)
    assert cli("videos", "delete", video_id, answer="n\n").status == 1
    assert json.loads(cli("videos", "get", video_id, "-o", "json").out)["id"] == video_id
    assert cli("videos", "delete", video_id, answer="y\n").status == 0
    assert cli("videos", "get", video_id).status == 2


def test_the_balance_is_shown_and_the_connection_tested(cli: Cli, connection: Any) -> None:
    assert "available_balance" in json.loads(cli("balance", "-o", "json").out)
    assert "available_balance" in cli("balance").out
    ran = cli("test")
    assert (ran.status, ran.out, "The key works at" in ran.err) == (0, "", True)


def test_a_balance_that_is_nested_too_deep_is_shown_to_a_depth(cli: Cli, connect: Any) -> None:
    with scripted(lambda request: http(200, b'{"a":' * 900 + b'"\\u001b[2J"' + b"}" * 900)) as gateway:
        connect(host=gateway.url)
        for output in ("json", "table", "csv"):
            ran = cli("balance", "-o", output)
            assert (ran.status, ran.err, "nested too deep" in ran.out, "\x1b" in ran.out) == (0, "", True, False)


def test_a_wrong_key_is_one_line(cli: Cli, connect: Any) -> None:
    connect(password="wrong")
    for argv in (["test"], ["balance"], ["videos", "list"]):
        ran = cli(*argv)
        assert (ran.status, len(ran.lines), "API key" in ran.err) == (2, 1, True)


def test_the_page_of_the_commands_has_all_of_them_and_all_states() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert [path for path in COMMANDS if f"wisdomgate {' '.join(path)}" not in page] == []
    rows = [line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| `")][: len(STATES)]
    words = {state.strip("| `"): meaning for state, meaning in rows}
    assert tuple(words) == STATES
    assert set(rules.NEEDS_PERSON) == {line.split("`")[1] for line in page.splitlines() if "needs you" in line}
