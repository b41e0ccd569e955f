"""``videos``, ``balance`` and ``test``: what the gateway answers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.output import dump, moment_of, put, say, show_rows, show_table
from airflow_provider_wisdomgate.cli.repair import is_answered_yes
from airflow_provider_wisdomgate.cli.run import DIFFERS
from airflow_provider_wisdomgate.hooks import WisdomGateHook

COLUMNS = ("id", "status", "progress", "model", "seconds", "size", "created_at", "expires_at")
TIMES = ("created_at", "completed_at", "expires_at")


def get_video(arguments: Namespace) -> int:
    """Show one video."""
    video = WisdomGateHook(arguments.conn_id).get_video(arguments.video_id)
    _show_facts({**video.as_dict(), "prompt": video.prompt}, arguments.output)
    return 0


def list_videos(arguments: Namespace) -> int:
    """List the videos that the gateway lists."""
    rows = [video.as_dict() for video in WisdomGateHook(arguments.conn_id).list_videos()]
    if arguments.output == "table":
        cells = ([moment_of(row[name]) if name in TIMES else row[name] for name in COLUMNS] for row in rows)
        show_table([name.removesuffix("_at").upper() for name in COLUMNS], cells)
    else:
        show_rows(rows, COLUMNS, arguments.output)
    return 0


def delete_video(arguments: Namespace) -> int:
    """Delete a video at the gateway."""
    hook = WisdomGateHook(arguments.conn_id)
    where = f"at {hook.settings.base_url}"
    if not arguments.yes and not is_answered_yes(f"Delete video {arguments.video_id} {where}, for good? [y/N] "):
        say("Nothing was deleted.")
        return DIFFERS
    hook.delete_video(arguments.video_id)
    say(f"Deleted: video {arguments.video_id} {where}")
    return 0


def show_balance(arguments: Namespace) -> int:
    """Show the account's balance, as the gateway words it."""
    _show_facts(WisdomGateHook(arguments.conn_id).get_balance(), arguments.output)
    return 0


def test_connection(arguments: Namespace) -> int:
    """Test a connection."""
    is_good, told = WisdomGateHook(arguments.conn_id).test_connection()
    if not is_good:
        raise errors.WisdomGateError(told)
    say(told)
    return 0


def _show_facts(facts: Mapping[str, Any], output: str) -> None:
    if output == "json":
        put(dump(facts, indent=1))
    elif output == "csv":
        show_rows([facts], list(facts), output)
    else:
        told = {name: moment_of(value) if name in TIMES else value for name, value in facts.items()}
        show_table(("", ""), ((name, value) for name, value in told.items() if value not in (None, "")))
