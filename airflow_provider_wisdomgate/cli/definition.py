"""All commands and their arguments, as data. Imports nothing that costs: every ``airflow`` command reads this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wisdomgate import DEFAULT_CONN_ID

ROOM = "airflow_provider_wisdomgate.cli"


@dataclass(frozen=True)
class Argument:
    """An argument as argparse takes it: its flags (or its name), and the rest."""

    flags: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """One command. ``runs`` is the function behind it, as ``module:function``: parsed arguments in, exit status out."""

    name: str
    help: str
    runs: str
    arguments: tuple[Argument, ...] = ()
    description: str | None = None


@dataclass(frozen=True)
class Group:
    """Commands below one name."""

    name: str
    help: str
    commands: tuple[Command | Group, ...]
    description: str | None = None


def argument(*flags: str, **options: Any) -> Argument:
    """Define an argument."""
    return Argument(flags, options)


# The words of clips/states.py, which costs an import of Airflow; a test holds them together.
STATES = ("lost", "refused", "failed", "missing", "creating", "created", "stored")

FORMATS = "how to print it (default: %(default)s)"
CONN_ID = argument(
    "--conn-id",
    default=DEFAULT_CONN_ID,
    metavar="ID",
    help="the connection: for the gateway, and for the storage path of relative names (default: %(default)s)",
)
OUTPUT = argument("-o", "--output", choices=("table", "json", "csv"), default="table", help=FORMATS)
YES = argument("-y", "--yes", action="store_true", help="do not ask")
FOLDER = argument(
    "folder",
    nargs="?",
    help="a folder or URI such as s3://aws_default@bucket/videos; a relative one is below the storage path; left out: "
    "the storage path itself",
)
DESTINATION = argument(
    "destination",
    help="the clip's URI or path, as messages and listings show it; a relative one is below the storage path",
)
AFTER = argument("--after", default="", metavar="NAME", help="go on after this clip, where an earlier run stopped")
VIDEO_ID = argument("video_id", metavar="ID", help="a video's id at the gateway")

CLIPS = Group(
    "clips",
    "Stored clips and their manifests: list, verify and repair them",
    (
        Command(
            "list",
            "List the clips of a folder, and what became of each",
            f"{ROOM}.clips:list_clips",
            (
                FOLDER,
                argument(
                    "--state",
                    action="append",
                    choices=STATES,
                    metavar="STATE",
                    help=f"only these, may be given several times: {', '.join(STATES)}",
                ),
                OUTPUT,
                CONN_ID,
            ),
            "Lists the manifests of a folder and of all below it: state, video id, size, age, which task made it. "
            "States that need a person: lost, refused.",
        ),
        Command(
            "show",
            "Show what is recorded of one clip, and what to do about it",
            f"{ROOM}.clips:show_clip",
            (
                DESTINATION,
                argument("-o", "--output", choices=("table", "json"), default="table", help=FORMATS),
                CONN_ID,
            ),
        ),
        Command(
            "verify",
            "Read stored clips again and compare them with their manifests",
            f"{ROOM}.verify:verify_clips",
            (
                FOLDER,
                AFTER,
                argument(
                    "-o",
                    "--output",
                    choices=("lines", "json", "csv"),
                    default="lines",
                    help=FORMATS,
                ),
                CONN_ID,
            ),
            "Reads every stored clip, compares its hash and checks its structure. Prints what differs. Exit status: 0 "
            "nothing differs, 1 something does, 2 it could not be finished. Changes nothing.",
        ),
        Command(
            "adopt",
            "Record the id of the video that a lost create made",
            f"{ROOM}.repair:adopt_clip",
            (
                DESTINATION,
                argument("--video-id", required=True, metavar="ID", help="the id that the gateway shows"),
                argument("--no-check", action="store_true", help="do not ask the gateway for the video first"),
                YES,
                CONN_ID,
            ),
            "The next run of the task then goes on with that video, without a create. Shows what will change and asks. "
            "Never touches a claim that may be alive.",
        ),
        Command(
            "forget",
            "Give a record up: the next run creates again, and pays",
            f"{ROOM}.repair:forget_clip",
            (DESTINATION, YES, CONN_ID),
            "The next run of the task then sends a create. Shows what will change and asks. Never touches a claim that "
            "may be alive, and deletes no clip.",
        ),
        Command(
            "fetch",
            "Wait for a paid video and store its clip, here and now",
            f"{ROOM}.repair:fetch_clip",
            (
                DESTINATION,
                argument(
                    "--timeout",
                    type=float,
                    default=3600.0,
                    metavar="SECONDS",
                    help="how long to wait for the video (default: %(default)s)",
                ),
                CONN_ID,
            ),
        ),
    ),
)

VIDEOS = Group(
    "videos",
    "What the gateway has",
    (
        Command("get", "Show one video", f"{ROOM}.videos:get_video", (VIDEO_ID, OUTPUT, CONN_ID)),
        Command("list", "List the videos, where the gateway can", f"{ROOM}.videos:list_videos", (OUTPUT, CONN_ID)),
        Command(
            "delete",
            "Delete a video at the gateway, where it can",
            f"{ROOM}.videos:delete_video",
            (VIDEO_ID, YES, CONN_ID),
        ),
    ),
)

WISDOMGATE = Group(
    "wisdomgate",
    "Videos made through WisdomGate, and the clips that are kept of them",
    (
        CLIPS,
        VIDEOS,
        Command(
            "balance",
            "Show the account's balance, where the gateway tells it",
            f"{ROOM}.videos:show_balance",
            (OUTPUT, CONN_ID),
        ),
        Command(
            "test", "Test a connection: free, one or two short requests", f"{ROOM}.videos:test_connection", (CONN_ID,)
        ),
    ),
    "Exit status: 0 done, 1 something differs or nothing was changed, 2 an error, which one line on stderr explains.",
)
