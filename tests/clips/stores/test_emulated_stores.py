"""What only GCS or only Azure has: requests, connections, and whole downloads into them. ./scripts/test-stores.

The emulator of GCS (gcp-storage-emulator) ignores ``ifGenerationMatch``: the proxy before it refuses in its place, as
Google's documentation says. That GCS itself refuses is not proven. Azurite has all that is needed.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from emulators import AzurePlace, GCSPlace
from s3_server import Fault

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.hooks import WisdomGateHook

MIB = 1024**2
Place = GCSPlace | AzurePlace


@pytest.fixture(params=["gcs", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    place: Place = request.getfixturevalue(request.param)
    return place


@pytest.mark.parametrize("size", [None, 1 * MIB, 40 * MIB])
@pytest.mark.parametrize("occupied", [False, True])
def test_a_clip_is_downloaded_whole(
    hook: WisdomGateHook, connection: dict[str, Any], place: Place, size: int | None, occupied: bool
) -> None:
    from support import made, sha256, whole

    if occupied:
        place.write("a/cat.mp4", bytes(50_000))
    video_id = made(hook, f"bytes={size}" if size else "")
    stored = hook.download_video(video_id, place.uri("a/cat.mp4"), if_exists="replace" if occupied else "skip")
    wanted = whole(size=size)
    assert place.names() == ["a/cat.mp4", "a/cat.mp4.json"]
    assert place.read("a/cat.mp4") == wanted
    assert place.content_type_of("a/cat.mp4") == "video/mp4"
    assert (stored.size, stored.sha256) == (len(wanted), sha256(wanted))
    assert hook.download_video(video_id, place.uri("a/cat.mp4")) == stored  # nothing to do


# GCS


def conditions(place: GCSPlace, act: Any) -> list[tuple[str, str | None]]:
    """Return the method and ifGenerationMatch of each change that the emulator was asked for."""
    before = len(place.log.read_text().splitlines())
    act()
    asked = []
    for line in place.log.read_text().splitlines()[before:]:
        method, _, target = line.strip('"').partition(" ")
        if method in ("POST", "DELETE"):
            generation = parse_qs(urlsplit(target.split(" ")[0]).query).get("ifGenerationMatch", [None])[0]
            asked.append((method, generation))
    return asked


def test_gcs_is_asked_for_each_change_under_the_condition_it_was_decided_on(gcs: GCSPlace) -> None:
    store = open_store(gcs.uri("a/cat.mp4"))
    versions: list[Any] = []
    assert conditions(gcs, lambda: versions.append(store.create(".json", b"1"))) == [("POST", "0")]
    assert conditions(gcs, lambda: versions.append(store.replace(".json", b"2", versions[0]))) == [
        ("POST", str(versions[0]))
    ]
    assert conditions(gcs, lambda: store.delete(".json", versions[1])) == [("DELETE", str(versions[1]))]


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_gcs_is_asked_to_take_a_clip_in_place_of_what_was_seen(gcs: GCSPlace, size: int) -> None:
    store = open_store(gcs.uri("a/cat.mp4"))

    def publish() -> None:
        over = store.clip()
        with store.partial_file() as file:
            file.write(bytes(size))
            assert store.publish(file, "video/mp4", over=over, beside=(".json", 1))

    assert conditions(gcs, publish) == [("POST", "0")]
    first = store.clip()
    assert first
    assert conditions(gcs, publish) == [("POST", str(first.version))]


def test_a_server_that_ignores_generations_is_refused_before_any_download(
    hook: WisdomGateHook, gcs: GCSPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support import made

    extra = {**gcs.connection["extra"], "gcs.endpoint": gcs.url}  # past the proxy
    monkeypatch.setenv("AIRFLOW_CONN_GCS_BARE", json.dumps({**gcs.connection, "extra": extra}))
    with pytest.raises(errors.StorageError, match="ignores conditions"):
        hook.download_video(made(hook), "gs://gcs_bare@clips/a/cat.mp4")
    assert "a/cat.mp4" not in gcs.names()


@pytest.mark.parametrize(
    ("size", "last"), [(1000, Fault("POST", "/o", "cut")), (20 * MIB, Fault("PUT", "/o", "cut", after=2))]
)
def test_gcs_is_known_to_hold_our_own_clip_when_the_last_answer_was_lost(gcs: GCSPlace, size: int, last: Fault) -> None:
    """Google's client sends the request again then, which meets what the first one made."""
    gcs.proxy.faults.append(last)
    store = open_store(gcs.uri("a/cat.mp4"))
    with store.partial_file() as file:
        file.write(bytes(size))
        assert store.publish(file, "video/mp4", over=None, beside=(".json", 1))
    assert (len(gcs.read("a/cat.mp4")), last.times) == (size, 0)


def test_gcs_is_found_by_the_environments_emulator_without_a_connection(
    gcs: GCSPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "films")
    assert open_store("gs://clips/a/cat.mp4").create(".json", b"{}")
    assert gcs.names() == ["a/cat.mp4.json"]


def test_gcs_is_found_by_the_environments_emulator_with_a_connection(
    gcs: GCSPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "films"}}
    monkeypatch.setenv("AIRFLOW_CONN_GCS_PLAIN", json.dumps(connection))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    assert open_store("gs://gcs_plain@clips/a/cat.mp4").create(".json", b"{}")
    assert gcs.names() == ["a/cat.mp4.json"]


# Azure


def account_of(place: AzurePlace) -> dict[str, str]:
    return dict(part.split("=", 1) for part in place.connection["extra"]["connection_string"].strip(";").split(";"))


@pytest.mark.parametrize("kind", ["wasb", "adls", "azure_data_lake"])
@pytest.mark.parametrize("how", ["connection string", "prefixed connection string", "host and key", "key in the extra"])
def test_azure_is_reached_by_connections_old_and_new(
    azure: AzurePlace, kind: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    string, account = azure.connection["extra"]["connection_string"], account_of(azure)
    connection: dict[str, Any] = {
        "connection string": {"extra": {"connection_string": string}},
        "prefixed connection string": {"extra": {f"extra__{kind}__connection_string": string}},
        "host and key": {"host": account["BlobEndpoint"], "password": account["AccountKey"]},
        "key in the extra": {"host": account["BlobEndpoint"], "extra": {"account_key": account["AccountKey"]}},
    }[how]
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_OTHER", json.dumps({"conn_type": kind, **connection}))
    assert open_store("abfs://azure_other@clips/a/cat.mp4").create(".json", b"{}")
    assert azure.names() == ["a/cat.mp4.json"]


@pytest.mark.parametrize(
    ("fields", "account"),
    [
        ({"extra": {"account_name": "films", "account_key": "a2V5"}}, "films.blob.core.windows.net"),
        ({"extra": {"account_name": "films", "account_host": "films.example", "sas_token": "s"}}, "films.example"),
        ({"login": "films", "password": "a2V5"}, "films.blob.core.windows.net"),
    ],
)
def test_azures_account_is_found_wherever_a_connection_names_it(
    fields: dict[str, Any], account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure = pytest.importorskip("airflow_provider_wisdomgate.clips.stores.azure")
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_OTHER", json.dumps({"conn_type": "azure_data_lake", **fields}))
    assert azure._service("azure_other")[0].primary_hostname == account


def test_azure_is_found_by_the_environments_connection_string(
    azure: AzurePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure.connection["extra"]["connection_string"])
    assert open_store("abfs://clips/a/cat.mp4").create(".json", b"{}")
    assert azure.names() == ["a/cat.mp4.json"]


def test_azure_says_the_age_by_its_own_clock(azure: AzurePlace) -> None:
    store = open_store(azure.uri("a/cat.mp4"))
    store.create(".json", b"{}")
    age = store.age(".json")
    assert age is not None
    assert 0.0 <= age < 60
