"""What earlier releases have written can be read: manifests, triggers, events, what a task remembers, fingerprints.

The files in ``written_before/`` were written once, by the code of commit 2117349 (the operators, the hook, the sensor
and the trigger of that commit, against its sandbox), and are never written again:

- ``manifests/``: each file as it stood beside its clip. ``creating`` was copied while the create was under way,
  ``*_announced`` between the announcement and the clip. Only the folder was renamed, to ``/clips``.
- ``failed.json``: the manifest of ``created`` after ``transitions.failed`` of that commit, with every class of errors.
- ``triggers.json`` and ``defer_kwargs.json``: what deferred tasks gave to Airflow.
- ``events.json``: what the triggers yielded. ``expired``, ``timed_out_with_video`` and ``refused_<class>`` are by
  ``event_of``, with errors made for the purpose.
- ``memory.json``: the task's ``task_state_store`` after a create, and after a failed poll of a rescheduled sensor.
- ``fingerprints.json``: arguments of operators and their connection, the request and its fingerprint.
"""

from __future__ import annotations

import base64
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from support import StateStore, import_string

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.driver import memory_of
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Wanted, is_same_round, old_fingerprint, recall_id
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator, WisdomGateRemixVideoOperator
from airflow_provider_wisdomgate.polling.decisions import video_of
from airflow_provider_wisdomgate.sensors import WAIT_KEY, WisdomGateVideoSensor

FOLDER = Path(__file__).with_name("written_before")
OPERATORS = {"generate": WisdomGateGenerateVideoOperator, "remix": WisdomGateRemixVideoOperator}


def written(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


MANIFESTS = {path.stem: path.read_bytes() for path in sorted((FOLDER / "manifests").glob("*.json"))}
MANIFESTS |= {f"failed with {each['error']['error']}": json.dumps(each).encode() for each in written("failed")}
EVENTS = written("events")
# Only a video's own object ends it.
NO_END = {"VideoExpiredError": "VideoNotFoundError"}
NO_END |= dict.fromkeys(("ModerationError", "VideoFailedError", "VideoFailedForGoodError"), "UnexpectedReplyError")


@pytest.mark.parametrize("data", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_is_read_with_all_that_it_says(data: bytes) -> None:
    assert Manifest.load(data, "file:///clips/cat.mp4").as_dict() == json.loads(data)


@pytest.mark.parametrize("data", MANIFESTS.values(), ids=MANIFESTS)
def test_the_fingerprint_of_a_manifest_is_that_of_its_request(data: bytes) -> None:
    manifest = Manifest.load(data, "file:///clips/cat.mp4")
    for record in (manifest, *manifest.below):
        if record.fingerprint is not None:  # a download's has none
            assert record.fingerprint == old_fingerprint(record.request)
            assert Wanted(record.request).is_same_as(record)


def test_a_round_that_was_recorded_is_the_same_round() -> None:
    made_by = Manifest.load(MANIFESTS["created"], "file:///clips/cat.mp4").made_by
    assert is_same_round(made_by, {**made_by, "max_tries": 3})
    assert not is_same_round(made_by, {**made_by, "max_tries": 3, "round": made_by["round"] + 1})


@pytest.mark.parametrize("trigger", written("triggers"), ids=lambda trigger: trigger["name"])
def test_a_trigger_is_made_again(trigger: dict[str, Any]) -> None:
    classpath, kwargs = import_string(trigger["classpath"])(**trigger["kwargs"]).serialize()
    assert (classpath, kwargs) == (trigger["classpath"], {**kwargs, **trigger["kwargs"]})


@pytest.mark.parametrize("name", written("defer_kwargs"))
def test_a_deferred_task_goes_on_with_the_arguments_of_its_deferral(name: str) -> None:
    operator = {"remix": WisdomGateRemixVideoOperator, "sensor": WisdomGateVideoSensor}.get(name, OPERATORS["generate"])
    deferral = written("defer_kwargs")[name]
    method = getattr(operator, deferral["method_name"])
    inspect.signature(method).bind(operator, {}, event=EVENTS["ready"], **deferral["kwargs"])


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_is_the_video_or_the_error_that_it_was(event: dict[str, Any]) -> None:
    try:
        end: Any = video_of(event, may_recreate=True).as_dict()
    except errors.WisdomGateError as error:
        end = error.as_dict()
    was = event["video"] if event["outcome"] == "ready" else event["error"]
    if event["outcome"] == "refused" and was["error"] in NO_END:  # that commit believed an error answer to a poll
        assert (end["error"], end["message"]) == (NO_END[was["error"]], was["message"])
    else:
        assert end == was


def test_what_a_task_remembers_is_recalled() -> None:
    memory = written("memory")
    created, sensor = (StateStore(memory[name]) for name in ("generate_created", "sensor_reschedule"))
    manifest = Manifest.load(MANIFESTS["created"], "file:///clips/created/cat.mp4")
    facts = {name: getattr(manifest, name) for name in ("video_id", "claim_id", "fingerprint")}
    words = memory_of({"task_state_store": created}).recall()
    assert words == facts
    recalled = recall_id(None, Manifest("creating", "new", manifest.uri, 1.0, request=manifest.request), words)
    assert recalled is not None
    assert (recalled.phase, recalled.video_id, recalled.claim_id) == ("created", manifest.video_id, manifest.claim_id)
    assert memory_of({"task_state_store": sensor}, WAIT_KEY).recall()["failed_polls"] == 1


@pytest.mark.parametrize("pair", written("fingerprints"), ids=lambda pair: json.dumps(pair["arguments"]))
def test_the_same_arguments_are_the_same_request(
    pair: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "wisdomgate", "host": pair["host"], "password": "key", "extra": pair["extra"]}
    monkeypatch.setenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", json.dumps(connection))
    arguments = dict(pair["arguments"])
    if image := pair["input_reference_base64"]:
        (tmp_path / "image").write_bytes(base64.b64decode(image))
        arguments["input_reference"] = str(tmp_path / "image")
    operator = OPERATORS[pair["operator"]](task_id="clip", **arguments)  # type: ignore[operator]
    wanted = operator._wanted()
    assert wanted.request == pair["request"]
    found = Manifest("created", "old", "file:///clips/cat.mp4", 1.0, "v", pair["fingerprint"], pair["request"])
    assert wanted.is_same_as(found)
