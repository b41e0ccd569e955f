"""All commands and their arguments, as data. Imports nothing that costs: every ``airflow`` command reads this."""

from __future__ import annotations

import re
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


# The states of ledger/rules.py, whose import costs seconds; a test compares them.
STATES = ("lost", "refused", "damaged", "unfetched", "failed", "missing", "creating", "created", "stored")
UNITS = {"d": 86400, "h": 3600, "min": 60, "m": 60, "s": 1, "": 1}


def age(text: str) -> float:
    """Read an age as listings show it: ``90 s``, ``30min``, ``2h``, ``1 d``; without a unit, seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(\w*)", text.strip())
    if match is None or match[2] not in UNITS:
        raise ValueError(text)
    return float(match[1]) * UNITS[match[2]]


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
FILTERS = (
    argument(
        "--state",
        action="append",
        choices=STATES,
        metavar="STATE",
        help=f"only clips in this state, may be given several times: {', '.join(STATES)}",
    ),
    argument("--dag-id", metavar="DAG", help="only clips that this DAG made"),
    argument("--run-id", metavar="RUN", help="only clips that this run made"),
    argument("--task-id", metavar="TASK", help="only clips that this task made"),
    argument(
        "--older-than",
        type=age,
        metavar="AGE",
        help="only clips to which nothing happened for so long, e.g. 90s, 30min, 2h, 1d",
    ),
)
CLIPS_BELOW = argument(
    "--folder",
    metavar="FOLDER",
    help="all clips of this folder and below that the options select, in place of named ones; with options and without "
    "a folder, of the storage path",
)


def named_clips(help: str) -> Argument:
    """Define the clips that a repair is for."""
    return argument("clips", nargs="*", metavar="CLIP", help=help)


SEVERAL = "the clips' URIs or paths, as messages and listings show them; relative ones are below the storage path"
AFTER = argument("--after", default="", metavar="NAME", help="go on after this clip, the last of an earlier run")
VIDEO_ID = argument("video_id", metavar="ID", help="a video's id at the gateway")

CLIPS = Group(
    "clips",
    "Stored clips and their manifests: list, verify and repair them",
    (
        Command(
            "list",
            "List the clips of a folder, and what became of each",
            f"{ROOM}.clips:list_clips",
            (FOLDER, *FILTERS, OUTPUT, CONN_ID),
            "Lists the manifests of a folder and of all below it: state, video id, size, age, which task made it.",
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
            f"{ROOM}.repair:adopt_clips",
            (
                named_clips(f"{SEVERAL}; without --video-id and --find, each with its video: CLIP=VIDEO_ID"),
                argument("--video-id", metavar="ID", help="of one clip: the id that the gateway shows"),
                argument("--find", action="store_true", help="look for the videos in the gateway's list"),
                CLIPS_BELOW,
                *FILTERS,
                argument("--no-check", action="store_true", help="do not ask the gateway for the video first"),
                argument(
                    "--force",
                    action="store_true",
                    help="adopt a video that another record has, and with --yes one that is DOUBTFUL",
                ),
                YES,
                CONN_ID,
            ),
            "The next run of the task then continues with that video, without a create. Shows what will change and "
            "asks once. Never touches a claim that may be alive. Refuses a video that another record of the storage "
            "path (or of the clip's folder) has.",
        ),
        Command(
            "forget",
            "Give records up: the next run creates again, and pays",
            f"{ROOM}.repair:forget_clips",
            (named_clips(SEVERAL), CLIPS_BELOW, *FILTERS, YES, CONN_ID),
            "The next run of the task then sends a create. Shows what will change and asks once. Never touches a claim "
            "that may be alive, and deletes no clip. With a folder, --state is needed.",
        ),
        Command(
            "fetch",
            "Wait for paid videos and store their clips, here and now",
            f"{ROOM}.fetch:fetch_clips",
            (
                named_clips(SEVERAL),
                CLIPS_BELOW,
                *FILTERS,
                argument(
                    "--timeout",
                    type=float,
                    default=3600.0,
                    metavar="SECONDS",
                    help="how long to wait for each video (default: %(default)s)",
                ),
                YES,
                CONN_ID,
            ),
            "Costs nothing. One named clip is fetched at once; for several, shows which and asks once.",
        ),
    ),
)

VIDEOS = Group(
    "videos",
    "What the gateway has",
    (
        Command("get", "Show one video", f"{ROOM}.videos:get_video", (VIDEO_ID, OUTPUT, CONN_ID)),
        Command("list", "List the videos, if the gateway can", f"{ROOM}.videos:list_videos", (OUTPUT, CONN_ID)),
        Command(
            "delete",
            "Delete a video at the gateway, if it can",
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
            "Show the account's balance, if the gateway reports it",
            f"{ROOM}.videos:show_balance",
            (OUTPUT, CONN_ID),
        ),
        Command(
            "test", "Test a connection: free, one to three short requests", f"{ROOM}.videos:test_connection", (CONN_ID,)
        ),
    ),
    "Exit status: 0 done, 1 something differs or was left as it is, 2 an error, which one line on stderr explains.",
)
