"""One round pays once, whatever changed meanwhile; and damage is not absence."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from odd_gateway import odd_gateway, sent
from scripted import http
from steps import Generate, deferred, manifest_of, money
from support import SMALL, LocalPlace, StateStore, fire, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.decorators import wisdomgate_video_task
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

PNG = b"\x89PNG\r\n\x1a\n and so on"


def paid(task: WisdomGateGenerateVideoOperator, context: Any) -> None:
    """Execute a first try, which pays and ends before the video is finished."""
    deferred(task, context)


# ---- C1: the record of this round wins over a request that changed

CHANGES: dict[str, dict[str, Any]] = {
    "prompt": {"text": "a dog at 12:01"},
    "field": {"fields": {"seed": 2}},
    "retries": {"retries": 5},
    "if_exists": {"if_exists": "fail"},
    "record_prompt": {"record_prompt": False},
}


@pytest.mark.parametrize("if_exists", ["replace", "skip"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_automatic_retry_continues_with_the_paid_video_though_its_request_changed(
    change: dict[str, Any], if_exists: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(generate(if_exists=if_exists, deferrable=True), context())
    for _ in range(2):
        stored = generate(**{"if_exists": if_exists, **change}).execute(context())
        assert (stored["video_id"], stored["phase"]) == (sandbox.videos()[0]["id"], "stored")
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def decorated(answer: Callable[[], Any], local: LocalPlace, **arguments: Any) -> Any:
    def describe() -> Any:
        return answer()

    with DAG("dag", schedule=None):
        given = {"poll_interval": 0.01, "destination": local.uri("cat.mp4"), **SMALL, **arguments}
        made: Any = wisdomgate_video_task(**given)(describe)()
        return made.operator


def test_a_decorated_function_that_returns_another_text_at_a_retry_does_not_pay_again(
    hook: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(decorated(lambda: "a cat [sandbox: render=0]", local, if_exists="replace", deferrable=True), context())
    for text in ("another cat", "a third one"):
        decorated(partial(str, text), local, if_exists="replace").execute(context())
    assert (manifest_of(local)["phase"], sandbox.counts()["creates"]) == ("stored", 1)


@pytest.mark.parametrize("answer", [lambda: None, lambda: {}, lambda: 1 / 0], ids=["None", "no prompt", "an error"])
def test_a_decorated_function_that_fails_at_a_retry_does_not_hide_the_paid_video(
    answer: Any, hook: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(decorated(lambda: "a cat [sandbox: render=0]", local, deferrable=True), context())
    stored = decorated(answer, local).execute(context())
    assert (stored["phase"], sandbox.counts()["creates"]) == ("stored", 1)


# ---- C2: the place that was recorded first


def test_a_storage_path_that_changed_between_two_tries_does_not_pay_again_with_a_memory(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, connect: Any, context: Any
) -> None:
    memory = {"task_state_store": StateStore()}
    paid(generate(destination=None, deferrable=True), context() | memory)
    connect(extra={"storage_path": str(tmp_path / "elsewhere")})
    stored = generate(destination=None).execute(context() | memory)
    assert (stored["uri"].startswith(f"file://{tmp_path}/clips/"), sandbox.counts()["creates"]) == (True, 1)


def test_a_storage_path_of_a_connection_that_hides_the_options_does_not_pay_again_without_a_memory(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, connect: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(tmp_path / "option"))
    connect(extra={"storage_path": ""})
    paid(generate(destination=None, deferrable=True), context())
    connect(extra={"storage_path": str(tmp_path / "elsewhere")})
    stored = generate(destination=None).execute(context())
    assert (stored["uri"].startswith(f"file://{tmp_path}/option/"), sandbox.counts()["creates"]) == (True, 1)


def test_a_clear_takes_the_new_storage_path(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, connect: Any, context: Any
) -> None:
    memory = {"task_state_store": StateStore()}
    paid(generate(destination=None, deferrable=True), context() | memory)
    connect(extra={"storage_path": str(tmp_path / "elsewhere")})
    stored = generate(destination=None).execute(context(max_tries=1) | memory)
    assert stored["uri"].startswith(f"file://{tmp_path}/elsewhere/")


@pytest.mark.parametrize("change", [{}, {"text": "a dog"}, {"input_reference": "file:///gone.png"}], ids=str)
def test_an_id_that_only_the_tasks_memory_has_is_not_paid_again_though_the_request_changed(
    change: dict[str, Any], generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """Somebody has deleted the record between two tries."""
    memory = {"task_state_store": StateStore()}
    paid(generate(deferrable=True), context() | memory)
    before = manifest_of(local)
    local.delete("cat.mp4.json")
    stored = generate(**change).execute(context() | memory)
    assert (stored["fingerprint"], stored["video_id"]) == (before["fingerprint"], before["video_id"])
    assert (stored["request"]["base_url"], sandbox.counts()["creates"]) == (before["request"]["base_url"], 1)


# ---- C3: the record is read first


def test_a_reference_image_that_is_gone_after_the_payment_does_not_hide_the_paid_video(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    local.write("image.png", PNG)
    paid(generate(input_reference=local.uri("image.png"), deferrable=True), context())
    local.delete("image.png")
    with pytest.raises(errors.WisdomGateError) as caught:  # a new run cannot compare its request
        generate(input_reference=local.uri("image.png")).execute(context(run_id="next"))
    video_id = manifest_of(local)["video_id"]
    assert f"Video {video_id} is paid for" in str(caught.value)
    assert "clips fetch" in str(caught.value)
    generate(input_reference=local.uri("image.png")).execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


@pytest.mark.parametrize(
    "wrong",
    [{"size": "big"}, {"fields": "none"}, {"fields": {"seconds": 5}}, {"seconds": -1}],
    ids=["size", "fields", "clash", "seconds"],
)
def test_an_argument_that_is_wrong_at_a_retry_does_not_hide_the_paid_video(
    wrong: dict[str, Any], generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(generate(deferrable=True), context())
    retry = generate()
    for name, value in wrong.items():
        setattr(retry, name, value)
    retry.execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


# ---- C4: siblings never displace each other


@pytest.mark.parametrize("state", ["created", "stored", "cleared"])
def test_mapped_siblings_with_one_destination_are_refused_before_they_cost(
    state: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    first = generate(if_exists="replace", deferrable=state == "created")
    paid(first, context(map_index=0)) if state == "created" else first.execute(context(map_index=0))
    before = manifest_of(local)
    for number in (1, 2, 3):
        facts = {"map_index": number, "max_tries": int(state == "cleared")}
        with pytest.raises(errors.DestinationTakenError, match="never replace each other"):
            generate("render=0", f"clip {number}", if_exists="replace").execute(context(**facts))
    assert (manifest_of(local), sandbox.counts()["creates"]) == (before, 1)


# ---- C5: the fingerprint is of what is sent


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"fields": {"seed": None}}, {}),
        ({"fields": {"seed": 5}}, {"fields": {"seed": "5"}}),
        ({"fields": {"seed": 5.0}}, {"fields": {"seed": 5}}),
        ({"fields": {"style": {"a": None, "b": 1}}}, {"fields": {"style": {"b": "1"}}}),
        ({"seconds": 1}, {"seconds": None, "fields": {"duration": 1}}),
    ],
    ids=["None", "text", "float", "nested", "duration"],
)
def test_two_spellings_of_one_request_are_one_request(
    one: dict[str, Any], other: dict[str, Any], generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    def task(arguments: dict[str, Any]) -> WisdomGateGenerateVideoOperator:
        made = generate()
        for name, value in arguments.items():
            setattr(made, name, value)
        return made

    stored = task(one).execute(context())
    assert (task(other).execute(context(run_id="next")), sandbox.counts()["creates"]) == (stored, 1)


# ---- C6: names of ids in other scripts


def test_ids_in_other_scripts_have_places_of_their_own(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, context: Any
) -> None:
    ids = ("猫", "犬", "кот", "été", "ete", "_", "clip")
    places = {generate("render=0", name, destination=None).execute(context(task_id=name))["uri"] for name in ids}
    assert (len(places), sandbox.counts()["creates"]) == (len(ids), len(ids))
    assert f"file://{tmp_path}/clips/dag/manual__2026-01-01T00_00_00_00_00/clip.mp4" in places


# ---- C7: the fingerprint travels


def test_a_decorated_task_whose_manifest_was_deleted_keeps_its_fingerprint(
    hook: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    def task() -> Any:
        return decorated(lambda: "a cat [sandbox: render=0]", local, deferrable=True)

    deferral = deferred(task(), context())
    before = manifest_of(local)
    event = fire(deferral)
    local.delete("cat.mp4.json")
    stored = resume(task(), deferral, event, context())
    assert (stored["fingerprint"], stored["claim_id"]) == (before["fingerprint"], before["claim_id"])
    assert (task().execute(context(max_tries=1)), sandbox.counts()["creates"]) == (stored, 1)


# ---- B8: damage is not absence

CUTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "a newline": lambda data: b"\n",
    "NULs": lambda data: bytes(len(data)),
    "10 bytes": lambda data: data[:10],
    "its phase": lambda data: data[:20],
    "half": lambda data: data[: len(data) // 2],
    "all but its end": lambda data: data[:-3],
    "NULs at its end": lambda data: data[:-40] + bytes(40),
}


@pytest.mark.parametrize("if_exists", ["skip", "replace"])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_record_that_was_cut_is_no_free_place(
    cut: Callable[[bytes], bytes],
    if_exists: str,
    generate: Generate,
    local: LocalPlace,
    sandbox: Sandbox,
    context: Any,
) -> None:
    paid(generate(deferrable=True), context())
    damaged = cut(local.read("cat.mp4.json"))
    local.write("cat.mp4.json", damaged)
    for run in ("manual__2026-01-01T00:00:00+00:00", "next"):
        with pytest.raises(errors.DestinationTakenError, match="clips forget"):
            generate(if_exists=if_exists).execute(context(run_id=run))
    assert (local.read("cat.mp4.json"), sandbox.counts()["creates"]) == (damaged, 1)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_deferred_task_whose_record_was_cut_names_its_paid_video(
    cut: Callable[[bytes], bytes], generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    deferral = deferred(generate(deferrable=True), context())
    event = fire(deferral)
    local.write("cat.mp4.json", cut(local.read("cat.mp4.json")))
    with pytest.raises(errors.DestinationTakenError, match=event["video_id"]):
        resume(generate(deferrable=True), deferral, event, context())
    assert sandbox.counts()["creates"] == 1


# ---- B9: nothing is written that cannot be read


def with_length(clip: bytes, duration: int) -> bytes:
    """Give a clip a movie header of version 1 with this length, in units of a second."""
    start = clip.index(b"mvhd") - 4
    (size,) = struct.unpack(">I", clip[start : start + 4])
    rest = clip[start + 8 + 4 + 16 : start + size]
    header = struct.pack(">I4sIQQIQ", size + 12, b"mvhd", 1 << 24, 0, 0, 1, duration) + rest
    clip = clip[:start] + header + clip[start + size :]
    moov = clip.index(b"moov") - 4
    (size,) = struct.unpack(">I", clip[moov : moov + 4])
    return clip[:moov] + struct.pack(">I", size + 12) + clip[moov + 4 :]


@pytest.mark.parametrize("duration", [10**15, 2**60, 2**64 - 1])
def test_a_clip_of_an_absurd_length_is_stored_and_found_again(
    duration: int, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    clip = with_length(whole(), duration)
    with odd_gateway(connect, content=(http(200, clip, {"Content-Type": "video/mp4"}),)) as gateway:
        stored = generate().execute(context())
        assert (stored["phase"], stored["duration"], local.read("cat.mp4")) == ("stored", 1.0, clip)
        assert (generate().execute(context(run_id="next")), sent(gateway)) == (stored, 1)


# ---- E and I12: the free way first


@pytest.mark.parametrize("change", [{"text": "an edited cat"}, {"fields": {"seed": 2}}], ids=["prompt", "field"])
def test_an_edited_request_over_a_paid_video_names_what_costs_nothing_first(
    change: dict[str, Any], generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(generate(deferrable=True), context())
    with pytest.raises(errors.DestinationTakenError) as caught:
        generate(**change).execute(context(max_tries=1))
    text, video_id = str(caught.value), manifest_of(local)["video_id"]
    assert text.index(f"{video_id} is paid for") < text.index(f"clips fetch {local.uri('cat.mp4')}")
    assert text.index("clips fetch") < text.index("if_exists='replace'") < text.index("pay for a new video")
    assert money(sandbox) == (1, 1)


def test_a_record_of_a_later_version_stops_the_task_and_names_the_version_that_is_needed(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(generate(deferrable=True), context())
    local.write("cat.mp4.json", json.dumps(manifest_of(local) | {"version": 2, "needs": "9.1"}, indent=1).encode())
    with pytest.raises(errors.DestinationTakenError, match=r"Upgrade airflow-provider-wisdomgate to version 9\.1"):
        generate(if_exists="replace").execute(context(run_id="next"))
    assert sandbox.counts()["creates"] == 1


def test_fields_of_a_later_version_survive_every_rewrite(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid(generate(deferrable=True), context())
    local.write("cat.mp4.json", json.dumps({**manifest_of(local), "cost": {"amount": 1}}, indent=1).encode())
    assert generate().execute(context())["cost"] == {"amount": 1}
