"""OpenAI's own SDK as a client of the sandbox: it answers as the real thing does, or says that it does not."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import openai
import pytest
from PIL import Image
from support import asked, whole

from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(dialect="openai", render_seconds=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def videos(server: Sandbox) -> openai.resources.Videos:
    server.reset()
    return openai.OpenAI(api_key=server.api_key, base_url=f"{server.url}/v1", max_retries=0).videos


@pytest.fixture
def made(videos: openai.resources.Videos) -> openai.types.Video:
    return videos.create(model="any", prompt="a cat", seconds="1", size="64x48")  # type: ignore[arg-type]


def test_a_video_is_created_and_retrieved(videos: openai.resources.Videos, made: openai.types.Video) -> None:
    found = videos.retrieve(made.id)
    assert (found.id, found.object, found.status, found.progress) == (made.id, "video", "completed", 100)
    assert (found.model, found.seconds, found.size, found.error, found.prompt) == ("any", "1", "64x48", None, "a cat")
    assert all(isinstance(at, int) for at in (found.created_at, found.completed_at, found.expires_at))


def test_create_and_poll_waits_to_the_end(videos: openai.resources.Videos, server: Sandbox) -> None:
    prompt = asked("render=0.2")
    video = videos.create_and_poll(model="any", prompt=prompt, seconds="4", size="64x48", poll_interval_ms=20)  # type: ignore[arg-type]
    assert video.status == "completed"
    assert server.counts()["polls"] > 1


def test_create_and_poll_returns_a_failed_video(videos: openai.resources.Videos) -> None:
    video = videos.create_and_poll(model="any", prompt=asked("fail=moderation_blocked"), seconds="4")
    assert (video.status, video.error and video.error.code) == ("failed", "moderation_blocked")


def test_wisdomgates_own_words_end_the_sdks_poll_too_early() -> None:
    with Sandbox() as sandbox:
        videos = openai.OpenAI(api_key=sandbox.api_key, base_url=f"{sandbox.url}/v1").videos
        video = videos.create_and_poll(model="any", prompt=asked("render=60"), seconds="4", poll_interval_ms=1)
        # Queued for the first fifth: then the SDK takes "processing" for an end.
        assert video.status == "processing"


def test_an_uploaded_picture_arrives(videos: openai.resources.Videos, server: Sandbox) -> None:
    videos.create(model="sora-2", prompt="a cat", input_reference=("cat.png", b"picture", "image/png"))
    assert server.videos()[0]["fields"]["input_reference"]["size"] == 7


def test_videos_are_listed_page_by_page(videos: openai.resources.Videos) -> None:
    ids = [videos.create(model="any", prompt=f"cat {number}", seconds="4").id for number in range(3)]
    assert [video.id for video in videos.list(limit=2)] == ids[::-1]
    assert [video.id for video in videos.list(limit=2, order="asc")] == ids


def test_a_video_is_deleted(videos: openai.resources.Videos, made: openai.types.Video) -> None:
    gone = videos.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        videos.retrieve(made.id)


def test_a_video_is_remixed(videos: openai.resources.Videos, made: openai.types.Video) -> None:
    assert videos.remix(made.id, prompt="a dog").remixed_from_video_id == made.id


def test_each_variant_is_downloaded(videos: openai.resources.Videos, made: openai.types.Video) -> None:
    assert videos.download_content(made.id).read() == whole()
    clip = videos.download_content(made.id, variant="video")
    with av.open(io.BytesIO(clip.read())) as container:
        assert container.duration == 1_000_000
    seen = {}
    for variant in ("thumbnail", "spritesheet"):
        still = videos.download_content(made.id, variant=variant)  # type: ignore[arg-type]
        picture = Image.open(io.BytesIO(still.read()))
        seen[variant] = (still.response.headers["content-type"], picture.format, picture.size)
    assert seen == {
        "thumbnail": ("image/webp", "WEBP", (64, 48)),
        "spritesheet": ("image/jpeg", "JPEG", (256, 48)),
    }


def test_what_goes_wrong_is_the_sdks_typed_error(videos: openai.resources.Videos, made: openai.types.Video) -> None:
    with pytest.raises(openai.BadRequestError, match="variant"):
        videos.download_content(made.id, variant="smell")  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError) as refused:
        videos.create(model="sora-2", prompt="a cat", seconds="5")  # type: ignore[arg-type]
    assert refused.value.param == "seconds"
    late = videos.create(model="any", prompt=asked("never"), seconds="4")
    with pytest.raises(openai.NotFoundError, match="not ready yet"):
        videos.download_content(late.id)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(api_key="wrong", base_url=videos._client.base_url).videos.retrieve(made.id)


def test_what_the_sandbox_does_not_offer_is_a_clear_error(videos: openai.resources.Videos) -> None:
    clip = ("cat.mp4", whole(), "video/mp4")
    for call in (
        lambda: videos.edit(video=clip, prompt="a dog"),
        lambda: videos.extend(video=clip, prompt="a dog", seconds="4"),
        lambda: videos.create_character(name="cat", video=clip),
        lambda: videos.get_character("char_1"),
    ):
        with pytest.raises(openai.APIStatusError, match="Invalid URL") as refused:
            call()
        assert refused.value.status_code in (404, 405)
