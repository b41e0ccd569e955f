"""What a download meets at its destination: an earlier clip, somebody else's file, or a place that cannot be."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import LocalPlace, S3Place, made, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import destination_warning, resolve_destination
from airflow_provider_wisdomgate.sandbox import Sandbox

Place = LocalPlace | S3Place
CAT = whole()


# What is there already


def test_the_same_video_is_skipped_without_a_single_request(
    hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    video_id = made(hook)
    first = hook.download_video(video_id, place.uri("cat.mp4"))
    asked = len(sandbox.requests())
    assert hook.download_video(video_id, place.uri("cat.mp4")) == first
    assert len(sandbox.requests()) == asked


def test_replace_fetches_the_same_video_anew(hook: WisdomGateHook, place: Place, sandbox: Sandbox) -> None:
    video_id = made(hook)
    first = hook.download_video(video_id, place.uri("cat.mp4"))
    again = hook.download_video(video_id, place.uri("cat.mp4"), if_exists="replace")
    assert (again.sha256, again.claim_id != first.claim_id) == (first.sha256, True)
    assert (place.names(), sandbox.counts()["downloads"]) == (["cat.mp4", "cat.mp4.json"], 2)


def test_fail_fails_without_a_request_when_the_clip_is_there(
    hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    video_id = made(hook)
    hook.download_video(video_id, place.uri("cat.mp4"), if_exists="fail")
    asked = len(sandbox.requests())
    with pytest.raises(errors.DestinationTakenError, match="if_exists='fail'"):
        hook.download_video(video_id, place.uri("cat.mp4"), if_exists="fail")
    assert (len(sandbox.requests()), place.read("cat.mp4")) == (asked, CAT)


@pytest.mark.parametrize("if_exists", ["skip", "fail"])
def test_another_videos_clip_is_never_touched(
    if_exists: Any, hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    first, second = made(hook), made(hook, text="a dog")
    stored = hook.download_video(first, place.uri("cat.mp4"))
    asked = len(sandbox.requests())
    with pytest.raises(errors.DestinationTakenError, match=f"video {first} of .* there, video {second} of .* wanted"):
        hook.download_video(second, place.uri("cat.mp4"), if_exists=if_exists)
    assert len(sandbox.requests()) == asked
    assert (place.read("cat.mp4"), json.loads(place.read("cat.mp4.json"))) == (CAT, stored.as_dict())


def test_replace_puts_another_video_in_the_place_of_a_clip(hook: WisdomGateHook, place: Place) -> None:
    hook.download_video(made(hook), place.uri("cat.mp4"))
    hook.download_video(made(hook, text="a dog"), place.uri("cat.mp4"), if_exists="replace")
    assert place.read("cat.mp4") == whole("a dog")


def test_a_replacement_that_fails_leaves_the_old_clip_and_its_record(hook: WisdomGateHook, place: Place) -> None:
    first = made(hook)
    stored = hook.download_video(first, place.uri("cat.mp4"))
    with pytest.raises(errors.AuthenticationError):
        hook.download_video(made(hook, "content=401", "a dog"), place.uri("cat.mp4"), if_exists="replace")
    assert (place.read("cat.mp4"), json.loads(place.read("cat.mp4.json"))) == (CAT, stored.as_dict())
    assert hook.download_video(first, place.uri("cat.mp4")) == stored


@pytest.mark.parametrize("if_exists", ["skip", "fail"])
def test_a_file_without_a_manifest_is_not_ours_to_touch(
    if_exists: Any, hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    place.write("cat.mp4", b"somebody's holiday")
    with pytest.raises(errors.DestinationTakenError, match="a file without a manifest"):
        hook.download_video("video_1", place.uri("cat.mp4"), if_exists=if_exists)
    assert (place.read("cat.mp4"), place.names(), sandbox.requests()) == (b"somebody's holiday", ["cat.mp4"], [])
    hook.download_video(made(hook), place.uri("cat.mp4"), if_exists="replace")
    assert place.read("cat.mp4") == CAT


def test_a_json_file_that_is_no_manifest_is_named_and_left(hook: WisdomGateHook, place: Place) -> None:
    place.write("cat.mp4.json", b'{"subtitles": []}')
    with pytest.raises(errors.DestinationTakenError, match=r"cat\.mp4\.json is no manifest"):
        hook.download_video("video_1", place.uri("cat.mp4"))
    assert place.read("cat.mp4.json") == b'{"subtitles": []}'


def test_a_clip_that_somebody_removed_is_fetched_again(hook: WisdomGateHook, place: Place) -> None:
    video_id = made(hook)
    hook.download_video(video_id, place.uri("cat.mp4"))
    place.delete("cat.mp4")
    hook.download_video(video_id, place.uri("cat.mp4"))
    assert place.read("cat.mp4") == CAT


# Places that cannot be


@pytest.mark.parametrize("extra", ["gcs", "azure"])
def test_a_missing_filesystem_package_is_named_by_its_extra(extra: str, hook: WisdomGateHook, sandbox: Sandbox) -> None:
    scheme, package = {"gcs": ("gs", "google"), "azure": ("abfs", "microsoft")}[extra]
    if importlib.util.find_spec(f"airflow.providers.{package}"):
        pytest.skip(f"the provider for {scheme}:// is installed")
    with pytest.raises(errors.ConfigurationError, match=rf"pip install 'airflow-provider-wisdomgate\[{extra}\]'"):
        hook.download_video("video_1", f"{scheme}://bucket/cat.mp4")
    assert sandbox.requests() == []


def test_a_missing_amazon_provider_is_named_by_its_extra(
    hook: WisdomGateHook, sandbox: Sandbox, s3: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "airflow_provider_wisdomgate.clips.stores.s3", raising=False)
    monkeypatch.setitem(sys.modules, "airflow.providers.amazon.aws.hooks.s3", None)
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'airflow-provider-wisdomgate\[s3\]'"):
        hook.download_video("video_1", "s3://aws_default@bucket/cat.mp4")
    assert sandbox.requests() == []


def test_an_unknown_scheme_is_named_with_those_that_work(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"no filesystem for teapot://.*use a path, s3://"):
        hook.download_video("video_1", "teapot://bucket/cat.mp4")
    assert sandbox.requests() == []


def test_a_folder_that_cannot_be_made_is_found_before_any_request(
    hook: WisdomGateHook, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    with pytest.raises(errors.StorageError, match=r"The storage at .*file/cat.mp4 refused"):
        hook.download_video("video_1", str(tmp_path / "file" / "cat.mp4"))
    assert sandbox.requests() == []


def test_a_bucket_that_does_not_exist_is_found_before_any_request(
    hook: WisdomGateHook, sandbox: Sandbox, s3: S3Place
) -> None:
    with pytest.raises(errors.StorageError, match=r"The storage at s3://aws_default@no-such-bucket/cat.mp4 refused"):
        hook.download_video("video_1", "s3://aws_default@no-such-bucket/cat.mp4")
    assert sandbox.requests() == []
    assert "no-such-bucket" not in {bucket["Name"] for bucket in s3.client.list_buckets()["Buckets"]}


def test_a_destination_that_is_a_folder_is_refused(hook: WisdomGateHook, place: Place, sandbox: Sandbox) -> None:
    place.write("clips/other.mp4", b"x") if isinstance(place, S3Place) else (place.folder / "clips").mkdir(parents=True)
    with pytest.raises(errors.ConfigurationError, match="is a folder"):
        hook.download_video("video_1", place.uri("clips"))
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "  ",
        "clips/",
        "s3://b/c/",
        None,
        [5],
        "../x.mp4",
        "a/../../x.mp4",
        "x.mp4.json",
        "s3://b/X.JSON",
        "/a\0b/x.mp4",
    ],
)
def test_a_destination_that_names_no_file_of_ours_is_refused(
    destination: Any, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    with pytest.raises(errors.ConfigurationError, match="destination"):
        hook.download_video("video_1", destination)
    assert sandbox.requests() == []


LOOK_ALIKES = {
    "s3:/bucket/cat.mp4": "'://' is missing. Write 's3://bucket/cat.mp4'.",
    "S3:bucket/cat.mp4": "'://' is missing. Write 'S3://bucket/cat.mp4'.",
    "gs:/a@bucket/cat.mp4": "'://' is missing. Write 'gs://a@bucket/cat.mp4'.",
    "sftp:/host/cat.mp4": "'://' is missing. Write 'sftp://host/cat.mp4'.",
    "file:cat.mp4": "'://' is missing. Write 'file:///cat.mp4'.",
    "file:/clips/cat.mp4": "'://' is missing. Write 'file:///clips/cat.mp4'.",
    "~/cat.mp4": "begins with ~, which is not expanded. Write the whole path.",
    "~airflow/cat.mp4": "begins with ~, which is not expanded. Write the whole path.",
    "C:\\cat.mp4": "is a Windows path. Write the path as the workers see it",
    "c:/clips/cat.mp4": "is a Windows path. Write the path as the workers see it",
    "\\\\server\\clips\\cat.mp4": "is a Windows path. Write the path as the workers see it",
    " /clips/cat.mp4": "begins with a blank. Write '/clips/cat.mp4'.",
}


@pytest.mark.parametrize(("destination", "words"), LOOK_ALIKES.items())
def test_a_name_that_is_meant_to_be_absolute_is_refused_with_its_remedy_before_any_request(
    destination: str, words: str, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    with pytest.raises(errors.ConfigurationError, match=re.escape(f"destination {destination!r} ")) as caught:
        hook.download_video("video_1", destination)
    assert words in str(caught.value)
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        *[(f"clips/cat{ending}", True) for ending in (".mp4", ".MOV", ".webm")],
        *[(f"clips/cat{ending}", False) for ending in ("", ".m4v", ".mkv", ".jpg", ".mp4 ", ".mp4\n")],
    ],
)
def test_a_destination_that_no_page_shows_is_kept_and_has_a_warning(name: str, is_shown: bool) -> None:
    uri = resolve_destination(name, "/clips")
    assert uri == f"/clips/{name}"
    warning = destination_warning(uri)
    assert (warning is None) if is_shown else (warning and uri in warning and ".mp4, .mov, .webm" in warning)


def test_a_relative_destination_without_a_storage_path_names_all_the_ways_to_set_one(
    connect: Callable[..., Any], sandbox: Sandbox
) -> None:
    connect(extra={"storage_path": None})
    with pytest.raises(errors.ConfigurationError, match="AIRFLOW__WISDOMGATE__STORAGE_PATH"):
        WisdomGateHook().download_video("video_1", "cat.mp4")
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("destination", "storage_path", "resolved"),
    [
        ("cat.mp4", "/clips", "/clips/cat.mp4"),
        ("a/b/cat.mp4", "/clips/", "/clips/a/b/cat.mp4"),
        ("cat.mp4", "s3://aws@bucket/videos", "s3://aws@bucket/videos/cat.mp4"),
        ("/elsewhere/cat.mp4", "/clips", "/elsewhere/cat.mp4"),
        ("gs://bucket/cat.mp4", "/clips", "gs://bucket/cat.mp4"),
        ("..cat.mp4", "/clips", "/clips/..cat.mp4"),
        ("~cat.mp4", "/clips", "/clips/~cat.mp4"),
        ("Cats: a film.mp4", "/clips", "/clips/Cats: a film.mp4"),
        ("manual__2026-01-01T00:00:00+00:00/cat.mp4", "/clips", "/clips/manual__2026-01-01T00:00:00+00:00/cat.mp4"),
    ],
)
def test_a_destination_is_completed_with_the_storage_path(destination: str, storage_path: str, resolved: str) -> None:
    assert resolve_destination(destination, storage_path) == resolved


def test_the_storage_path_of_the_connection_wins_over_airflows_option(
    connect: Callable[..., Any], quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(tmp_path / "option"))
    connect(extra={"storage_path": str(tmp_path / "connection")})
    hook = WisdomGateHook()
    uris = [hook.download_video(made(hook), "cat.mp4").uri]
    connect(extra={"storage_path": None})
    uris.append(WisdomGateHook().download_video(made(hook), "cat.mp4").uri)
    assert uris == [f"file://{tmp_path}/connection/cat.mp4", f"file://{tmp_path}/option/cat.mp4"]


def test_names_with_spaces_and_foreign_letters_stay_as_they_are(hook: WisdomGateHook, local: LocalPlace) -> None:
    stored = hook.download_video(made(hook), str(local.folder / "Füße & 100 %.mp4"))
    assert local.names() == ["Füße & 100 %.mp4", "Füße & 100 %.mp4.json"]
    assert hook.download_video(str(stored.video_id), stored.uri) == stored
