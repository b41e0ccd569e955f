"""What ends a paid video: its own object, an announced expiry, or a person. Every other answer ends at most the try."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from odd_gateway import CLIP, NOT_FOUND, VIDEO_ID, odd_gateway, says, sent, video
from scripted import http
from steps import Generate, deferred, manifest_of
from support import LocalPlace, fire, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.operators import (
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
    WisdomGateRemixVideoOperator,
)
from airflow_provider_wisdomgate.sandbox import Sandbox

Later = Callable[[float], None]


def words_of(local: LocalPlace) -> tuple[str, str | None]:
    """Return phase and video of the record."""
    found = manifest_of(local)
    return found["phase"], found["video_id"]


def ended(task: WisdomGateGenerateVideoOperator, context: Any) -> errors.WisdomGateError | None:
    """Execute a try; return the error that it ended with, None if it stored the clip."""
    try:
        task.execute(context)
    except errors.WisdomGateError as error:
        return error
    return None


# ---- B1: an end word counts only in the video's own object

NO_END = {
    "an envelope's error": says(status="error", message="maintenance"),
    "an envelope's fail": says(status="fail", data={"reason": "maintenance"}),
    "an envelope's error beside nothing": says(status="error", code=503, data=None),
    "another video's failure": video("failed", "video_2", error={"code": "internal_error", "message": "no luck"}),
    "another video in an envelope": says(code=0, data={"id": "video_2", "status": "failed"}),
    "a failure without an id": says(status="failed", message="the upstream is away"),
    "a list with another video": says(data=[{"id": "video_2", "status": "failed"}]),
    "a success that processes": says(status="success", data={"id": VIDEO_ID, "status": "processing"}),
    "a success that is queued": says(status="success", success=True, data={"task_id": VIDEO_ID, "status": "queued"}),
    "cancelled, of nobody": says(status="cancelled"),
    "expired, of nobody": says(status="expired", message="your session"),
}


@pytest.mark.parametrize("answer", NO_END.values(), ids=NO_END)
def test_one_answer_that_is_not_the_videos_own_object_ends_nothing(
    answer: bytes, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, poll=(answer, answer, video())) as gateway:
        generate().execute(context())
        assert (local.read("cat.mp4"), sent(gateway), words_of(local)) == (whole(), 1, ("stored", VIDEO_ID))
        assert [it.path.rpartition("/")[2] for it in gateway.requests[1:]] == [VIDEO_ID] * 3 + ["content"]


@pytest.mark.parametrize("answer", NO_END.values(), ids=NO_END)
def test_one_such_answer_to_a_trigger_ends_nothing_either(
    answer: bytes, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, poll=(answer, answer, video())) as gateway:
        deferral = deferred(generate(deferrable=True), context())
        event = fire(deferral)
        assert (event["outcome"], event["video"]["status"], sent(gateway, "GET")) == ("ready", "completed", 3)
        resume(generate(deferrable=True), deferral, event, context())
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


def test_a_failure_that_another_host_reports_after_a_redirect_ends_nothing(
    generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    """A portal that answers in place of the gateway."""
    from scripted import scripted

    with scripted(lambda request: video("failed")) as portal:
        away = http(302, b"", {"Location": f"{portal.url}/v1/videos/{VIDEO_ID}"})
        with odd_gateway(connect, poll=(away, video())) as gateway:
            generate().execute(context())
            assert (local.read("cat.mp4"), sent(gateway), len(portal.requests)) == (whole(), 1, 1)


# ---- B2 to B6: "unknown" and "no content" have patience, in every dress

NO_CONTENT = {
    "404": NOT_FOUND,
    "404 video_expired": says(404, error={"code": "video_expired", "message": "The video has expired"}),
    "410": says(410, error={"message": "gone"}),
    "502 that wraps a 404": says(502, error={"message": "Upstream service returned status 404"}),
    "400 task not exist": says(400, error={"message": "task not exist"}),
    "400 expired": says(400, error={"code": "expired", "message": "The link has expired"}),
    "moderation": says(400, error={"code": "moderation_blocked", "message": "no"}),
}


@pytest.mark.parametrize("answer", NO_CONTENT.values(), ids=NO_CONTENT)
def test_missing_content_ends_no_paid_video_and_a_later_try_fetches_it(
    answer: bytes, generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    ready = video(expires_at=time.time() + 3600)
    with odd_gateway(connect, poll=(ready,), content=(answer,) * 40 + (CLIP,)) as gateway:
        while error := ended(generate(), context()):
            assert (words_of(local), f"Video {VIDEO_ID} is paid for" in str(error)) == (("created", VIDEO_ID), True)
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


@pytest.mark.parametrize("answer", NO_CONTENT.values(), ids=NO_CONTENT)
def test_content_that_comes_late_within_a_try_is_fetched_by_it(
    answer: bytes, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, content=(answer,) * 12 + (CLIP,)) as gateway:
        generate().execute(context())
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("word", ["expired", "video_expired", "video_not_found"])
def test_an_expired_key_does_not_speak_of_the_video(
    status: int, word: str, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    answer = says(status, error={"message": "expired", "code": word, "type": word})
    with odd_gateway(connect, poll=(answer, answer, answer, video()), content=(answer, answer, CLIP)) as gateway:
        while error := ended(generate(), context()):
            assert isinstance(error, errors.AuthenticationError | errors.PermissionDeniedError)
            assert (words_of(local), "costs nothing" in str(error)) == (("created", VIDEO_ID), True)
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


UNKNOWN = {
    "404": NOT_FOUND,
    "410": says(410, error={"message": "gone"}),
    "400 task not exist": says(400, code="fail_to_fetch_task", message="task not exist", data=None),
    "400 task_not_exist": says(400, error={"message": "task_not_exist", "code": "task_not_exist"}),
    "422 no such video": says(422, error={"message": "No such video"}),
    "500 wrapped": says(500, error={"message": json.dumps({"error": {"message": "no", "code": "video_not_found"}})}),
    "200 with an error": says(error={"message": "no such task", "code": "task_not_found"}),
    "404 video_expired": says(404, error={"code": "video_expired", "message": "The video has expired"}),
}


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN)
def test_a_video_that_its_gateway_denies_for_a_while_is_waited_for(
    answer: bytes, deferrable: bool, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    """Far more such answers than a count allows: the video is young."""
    with odd_gateway(connect, poll=(answer,) * 12 + (video(),)) as gateway:
        task = generate(deferrable=deferrable)
        if deferrable:
            deferral = deferred(task, context())
            resume(generate(deferrable=True), deferral, fire(deferral), context())
        else:
            task.execute(context())
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_video_ends_the_try_with_the_free_ways_first(
    answer: bytes, generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    with odd_gateway(connect, poll=(answer,) * 12 + (video(),)) as gateway:
        with pytest.raises(errors.WisdomGateError) as caught:
            generate().execute(context())
        text = str(caught.value)
        assert words_of(local) == ("created", VIDEO_ID)
        assert 0 < text.index("costs nothing") < text.index("clips fetch") < text.index("clips forget")
        while ended(generate(), context()):
            assert words_of(local) == ("created", VIDEO_ID)
        assert sent(gateway) == 1


@pytest.mark.parametrize(
    "answer",
    [says(400, error={"message": "bad"}), says(422, detail="bad"), says(404, error={"code": "model_not_found"})],
    ids=["400", "422", "model_not_found"],
)
def test_a_poll_that_is_refused_gives_no_advice_to_change_a_paid_request(
    answer: bytes, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, poll=(answer, video())) as gateway:
        with pytest.raises(errors.WisdomGateError) as caught:
            generate().execute(context())
        text = str(caught.value)
        assert (words_of(local), "Correct" in text, "Pick" in text) == (("created", VIDEO_ID), False, False)
        assert "costs nothing" in text
        generate().execute(context())
        assert sent(gateway) == 1


# ---- B3: a content wait of a deferrable task holds no worker


def test_a_content_wait_defers_again_with_its_deadline_and_goes_on_counting(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, later: Later
) -> None:
    def task() -> WisdomGateGenerateVideoOperator:
        return generate(deferrable=True, timeout=7200.0, poll_interval=10.0)

    now = time.time()

    def missing(request: Any) -> bytes:
        later(40.0)  # the answers are forty seconds apart
        return NOT_FOUND

    with odd_gateway(connect, content=(missing,) * 3 + (NOT_FOUND, CLIP)) as gateway:
        first = deferred(task(), context())
        event = {**fire_now(first), "outcome": "ready"}
        with pytest.raises(type(first)) as again:
            resume(task(), first, event, context())
        second = again.value.trigger.serialize()[1]
        assert second["deadline"] == first.trigger.serialize()[1]["deadline"]
        assert second["claim"]["missing"]["not_found"] == 3
        assert 60 < second["not_before"] - time.time() <= 300
        assert second["claim"]["missing"]["not_found_since"] - now < 60
        later(120.0)
        event = fire_now(again.value)
        assert (event["outcome"], event["claim"]) == ("ready", second["claim"])
        with pytest.raises(type(first)) as third:
            resume(task(), again.value, event, context())
        assert third.value.trigger.serialize()[1]["claim"]["missing"]["not_found"] == 4
        later(300.0)
        stored = resume(task(), third.value, fire_now(third.value), context())
        assert (stored["phase"], local.read("cat.mp4"), sent(gateway)) == ("stored", whole(), 1)


def fire_now(deferral: Any) -> Any:
    """Fire a deferral's trigger that would poll in a few seconds: its first poll is due now."""
    deferral.trigger.poll_interval, interval = 0.01, deferral.trigger.poll_interval
    try:
        return fire(deferral)
    finally:
        deferral.trigger.poll_interval = interval


def test_content_that_stays_away_ends_the_try_at_its_deadline_and_not_the_video(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, later: Later
) -> None:
    def missing(request: Any) -> bytes:
        later(30.0)
        return NOT_FOUND

    with odd_gateway(connect, content=(missing,)) as gateway:
        with pytest.raises(errors.WaitTimeoutError, match="clips fetch"):
            generate(timeout=600.0).execute(context())
        assert (words_of(local), sent(gateway)) == (("created", VIDEO_ID), 1)
        assert 20 <= sum(request.path.endswith("/content") for request in gateway.requests) <= 22


def test_patience_ends_after_fifteen_minutes_five_minutes_of_denials_and_five_of_them(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, later: Later
) -> None:
    def unknown(request: Any) -> bytes:
        later(100.0)
        return NOT_FOUND

    with odd_gateway(connect, poll=(unknown,)) as gateway:
        with pytest.raises(errors.VideoNotFoundError, match="is paid for and recorded"):
            generate(timeout=7200.0).execute(context())
        assert (words_of(local), sent(gateway)) == (("created", VIDEO_ID), 1)
        assert 9 <= sent(gateway, "GET") <= 11


# ---- the one proof of an expiry


def test_an_announced_expiry_ends_a_video_ten_minutes_later_and_not_before(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None, later: Later
) -> None:
    ready = video(expires_at=time.time() + 60)
    with odd_gateway(connect, poll=(ready,), content=(NOT_FOUND,)) as gateway:
        with pytest.raises(errors.VideoNotReadyError):
            generate().execute(context())
        later(650.0)
        with pytest.raises(errors.VideoNotReadyError):
            generate().execute(context())
        assert words_of(local) == ("created", VIDEO_ID)
        later(20.0)
        with pytest.raises(errors.VideoExpiredError):
            generate().execute(context())
        assert (words_of(local), sent(gateway)) == (("failed", VIDEO_ID), 1)


@pytest.mark.parametrize("expires_in", [-3600.0, 0.0 - 10**9], ids=["an hour before the create", "decades before"])
def test_an_expiry_before_the_create_is_not_believed(
    expires_in: float, generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    ready = video(expires_at=time.time() + expires_in)
    with odd_gateway(connect, poll=(ready,), content=(NOT_FOUND,)):
        with pytest.raises(errors.VideoNotReadyError):
            generate().execute(context())
        assert words_of(local) == ("created", VIDEO_ID)


# ---- B7: a connection that leads elsewhere for a while


@pytest.mark.parametrize("status", ["failed", "completed", "expired"])
def test_another_gateway_behind_the_connection_for_a_while_is_not_believed(
    status: str, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    """The triggerer alone sees the other one: the worker's connection is right when the task resumes."""
    with odd_gateway(connect) as gateway:
        deferral = deferred(generate(deferrable=True), context())
        with odd_gateway(connect, poll=(video(status),)) as other:
            event = fire(deferral)
            assert other.requests == []
        connect(host=gateway.url)
        with pytest.raises(errors.ConfigurationError, match="is paid for and recorded"):
            resume(generate(deferrable=True), deferral, event, context())
        assert words_of(local) == ("created", VIDEO_ID)
        generate().execute(context())
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


def test_a_trigger_goes_on_when_its_connection_leads_back(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wisdomgate.gateway import connection
    from airflow_provider_wisdomgate.polling import shared_client

    monkeypatch.setattr(shared_client, "READ_AGAIN_AFTER", 0.0)
    with odd_gateway(connect) as gateway, odd_gateway(connect, poll=(video("failed"),)) as other:
        connect(host=gateway.url)
        deferral = deferred(generate(deferrable=True), context())
        connect(host=other.url)
        looked_up: list[int] = []
        read = connection.read_settings_async

        async def read_settings(conn_id: str) -> Any:
            looked_up.append(1)
            if len(looked_up) == 3:  # somebody puts it right
                connect(host=gateway.url)
            return await read(conn_id)

        monkeypatch.setattr(shared_client, "read_settings_async", read_settings)
        event = fire(deferral)
        assert (event["outcome"], other.requests) == ("ready", [])
        resume(generate(deferrable=True), deferral, event, context())
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


def test_an_answer_of_another_gateway_that_a_wait_without_a_base_url_got_is_not_shared(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger of an earlier version polls the same video, and has asked the other gateway."""
    from airflow_provider_wisdomgate.polling import shared_client

    monkeypatch.setattr(shared_client, "READ_AGAIN_AFTER", 0.0)

    async def wait() -> tuple[str | None, str | None]:
        async with shared_client.share_client(VIDEO_ID, conn_id) as one, shared_client.share_client(VIDEO_ID, conn_id):
            connect(host=other.url)
            strange = await one.poll(VIDEO_ID, time.time() + 60, 60.0)
            connect(host=gateway.url)
            with pytest.raises(errors.ConfigurationError):
                await one.poll(VIDEO_ID, time.time() + 60, 60.0, f"{gateway.url}/v1")
            own = await one.poll(VIDEO_ID, time.time() + 60, 60.0, f"{gateway.url}/v1")
            return strange.status, own.status

    conn_id = "wisdomgate_default"
    with odd_gateway(connect) as gateway, odd_gateway(connect, poll=(video("failed"),)) as other:
        assert asyncio.run(wait()) == ("failed", "completed")


def test_the_base_url_of_a_trigger_is_compared_and_never_asked(
    generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    """Anybody who can write to the bucket, or to the database, could put another one there."""
    with odd_gateway(connect) as gateway, odd_gateway(connect) as other:
        connect(host=gateway.url)
        deferral = deferred(generate(deferrable=True), context())
        deferral.trigger.claim["base_url"] = f"{other.url}/v1"
        event = fire(deferral)
        assert (event["outcome"], event["error"]["error"]) == ("refused", "WrongGatewayError")
        assert (other.requests, sent(gateway, "GET")) == ([], 0)


def test_a_worker_that_reads_its_connection_anew_sends_nothing_to_another_gateway(
    generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, poll=(video("failed"),)) as other:

        def refuse(request: Any) -> bytes:
            connect(host=other.url)
            return says(401, error={"message": "invalid key", "code": "invalid_api_key"})

        with odd_gateway(connect, poll=(refuse,)) as gateway:
            with pytest.raises(errors.ConfigurationError):
                generate().execute(context())
            assert (words_of(local), other.requests, sent(gateway)) == (("created", VIDEO_ID), [], 1)


# ---- B10: a stored clip ends the wait


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_video_that_a_sibling_stored_and_deleted_is_not_called_unknown(
    deferrable: bool, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, impatient: None
) -> None:
    """delete_after_download, and two runs that wait for one video."""
    late = deferred(generate(deferrable=True, delete_after_download=True), context(run_id="late"))
    stored = generate(delete_after_download=True).execute(context())
    if deferrable:
        found = resume(generate(deferrable=True, delete_after_download=True), late, fire(late), context(run_id="late"))
    else:
        found = generate(delete_after_download=True).execute(context(run_id="late"))
    assert (found, sandbox.counts()["creates"], sandbox.videos()) == (stored, 1, [])


def test_a_wait_in_the_worker_ends_when_a_sibling_has_stored_and_deleted_its_video(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    stored: list[Any] = []

    def sibling_first(request: Any) -> bytes:
        if not stored:
            stored.append(None)
            stored[0] = generate().execute(context(run_id="sibling"))
        return NOT_FOUND

    with odd_gateway(connect, poll=(video("queued"), sibling_first, video(), NOT_FOUND)) as gateway:
        assert (generate().execute(context()), sent(gateway)) == (stored[0], 1)


# ---- on_gone="create": at most once until somebody clears the task


@pytest.mark.parametrize("gone", ["poll", "content"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_on_gone_create_pays_once_more_and_not_twice(
    gone: str, deferrable: bool, generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    def run(**facts: Any) -> Any:
        task = generate(on_gone="create", deferrable=deferrable)
        step, event = deferred_or_done(lambda: task.execute(context(**facts)))
        while event is not None:
            task = generate(on_gone="create", deferrable=deferrable)
            step, event = deferred_or_done(lambda: resume(task, step, event, context(**facts)))  # noqa: B023
        return step

    creates = tuple(video("queued", f"video_{number}") for number in range(1, 9))
    answers: dict[str, Any] = (
        {"poll": (NOT_FOUND,)} if gone == "poll" else {"poll": (own_video,), "content": (NOT_FOUND,)}
    )
    with odd_gateway(connect, create=creates, **answers) as gateway:
        for _ in range(3):  # the retries of one round
            with pytest.raises((errors.VideoNotFoundError, errors.VideoNotReadyError)):
                run()
            assert (sent(gateway), words_of(local)) == (2, ("created", "video_2"))
        with pytest.raises((errors.VideoNotFoundError, errors.VideoNotReadyError)):
            run(max_tries=1)  # somebody cleared it
        assert (sent(gateway), words_of(local)) == (3, ("created", "video_3"))
        assert given_up(manifest_of(local)) == ["video_2", "video_1"]


# ---- on_moderated_output="retry": one further create in a round, after the video's own object has failed

OUTPUT = {"code": "OutputVideoSensitiveContentDetected.PolicyViolation", "message": "may be related to copyright"}
INPUTS: dict[str, dict[str, str]] = {
    "the input text": {"code": "InputTextSensitiveContentDetected", "message": "no"},
    "the input image": {"code": "InputImageSensitiveContentDetected.PrivacyInformation", "message": "no"},
    "nobody knows what": {"code": "moderation_blocked", "message": "no"},
}


def moderated(*fine: str, error: dict[str, str] = OUTPUT) -> Any:
    """Answer polls: every video has failed, except those that are fine."""

    def poll(request: Any) -> bytes:
        video_id = request.path.rpartition("/")[2]
        return video("completed", video_id) if video_id in fine else video("failed", video_id, error=error)

    return poll


def rolled(generate: Generate, context: Any, deferrable: bool = False, **facts: Any) -> Any:
    """Run a try to its end, through every deferral."""
    terms: Any = {"on_moderated_output": "retry", "deferrable": deferrable, **facts.pop("terms", {})}
    task = generate(**terms)
    step, event = deferred_or_done(lambda: task.execute(context(**facts)))
    while event is not None:
        task = generate(**terms)
        step, event = deferred_or_done(lambda: resume(task, step, event, context(**facts)))  # noqa: B023
    return step


CREATES = tuple(video("queued", f"video_{number}") for number in range(1, 9))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_refused_output_is_rolled_once_more_in_the_same_try(
    deferrable: bool, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, create=CREATES, poll=(moderated("video_2"),)) as gateway:
        stored = rolled(generate, context, deferrable)
        assert (stored["video_id"], local.read("cat.mp4"), sent(gateway)) == ("video_2", whole(), 2)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_round_rolls_a_refused_output_once_and_the_next_round_once_more(
    deferrable: bool, generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, create=CREATES, poll=(moderated(),)) as gateway:
        for _ in range(3):  # the tries of one round
            with pytest.raises(errors.OutputModerationError):
                rolled(generate, context, deferrable)
            assert (sent(gateway), words_of(local)) == (2, ("failed", "video_2"))
        with pytest.raises(errors.OutputModerationError):
            rolled(generate, context, deferrable, max_tries=1)  # somebody cleared it
        assert (sent(gateway), words_of(local)) == (4, ("failed", "video_4"))


def test_a_refused_output_is_not_rolled_unless_the_task_asks_for_it(
    generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, create=CREATES, poll=(moderated(),)) as gateway:
        for _ in range(2):
            with pytest.raises(errors.OutputModerationError, match=r"clips forget|on_moderated_output"):
                rolled(generate, context, terms={"on_moderated_output": "fail"})
            assert (sent(gateway), words_of(local)) == (1, ("failed", "video_1"))


@pytest.mark.parametrize("error", INPUTS.values(), ids=INPUTS)
def test_a_refused_input_is_never_sent_again_by_itself(
    error: dict[str, str], generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, create=CREATES, poll=(moderated(error=error),)) as gateway:
        for facts in ({}, {}, {"max_tries": 1}, {"run_id": "next"}):
            with pytest.raises(errors.ModerationError):
                rolled(generate, context, **facts)
            assert (sent(gateway), words_of(local)) == (1, ("failed", "video_1"))


def test_a_create_that_is_refused_for_its_output_makes_no_further_one(
    generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    with odd_gateway(connect, create=(says(400, error=OUTPUT),)) as gateway:
        for facts in ({}, {"max_tries": 1}):
            with pytest.raises(errors.ModerationError):
                rolled(generate, context, **facts)
            assert (sent(gateway), words_of(local)) == (1, ("failed", None))


def test_a_finished_video_whose_content_is_withheld_lives_and_is_not_rolled(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    withheld = says(403, error={"code": "content_filtered", "message": "withheld"})
    with odd_gateway(connect, create=CREATES, content=(withheld,)) as gateway:
        for facts in ({}, {"max_tries": 1}):
            with pytest.raises(errors.ContentModeratedError, match="is paid for and recorded") as caught:
                rolled(generate, context, terms={"on_gone": "create"}, **facts)
            assert "withholds the content: withheld" in caught.value.message
            assert (sent(gateway), words_of(local)) == (1, ("created", "video_1"))


def test_a_roll_that_fails_brings_the_replaced_clip_back_and_still_counts(
    generate: Generate, local: LocalPlace, connect: Any, context: Any
) -> None:
    terms = {"if_exists": "replace", "retries": 3}
    no_luck = video("failed", "video_3", error={"code": "internal_error", "message": "no luck"})

    def poll(request: Any) -> bytes:
        return no_luck if request.path.endswith("video_3") else moderated("video_1")(request)

    with odd_gateway(connect, create=CREATES, poll=(poll,)) as gateway:
        rolled(generate, context, terms=terms)
        with pytest.raises(errors.VideoFailedError):  # video_2 was moderated, video_3 failed
            rolled(generate, context, terms=terms, run_id="next")
        assert (sent(gateway), words_of(local)) == (3, ("stored", "video_1"))
        with pytest.raises(errors.OutputModerationError):  # video_4 was moderated
            rolled(generate, context, terms=terms, run_id="next")
        assert (sent(gateway), words_of(local), local.read("cat.mp4")) == (4, ("stored", "video_1"), whole())


def test_a_remix_rolls_a_refused_output_too(hook: Any, local: LocalPlace, connect: Any, context: Any) -> None:
    with odd_gateway(connect, create=CREATES, poll=(moderated("video_2"),)) as gateway:
        arguments: dict[str, Any] = {"destination": local.uri("cat.mp4"), "on_moderated_output": "retry"}
        arguments |= {"poll_interval": 0.01}
        task = WisdomGateRemixVideoOperator(task_id="clip", video_id="video_0", prompt="at night", **arguments)
        assert (task.execute(context())["video_id"], sent(gateway)) == ("video_2", 2)


def test_another_word_for_on_moderated_output_is_refused_before_it_costs(
    generate: Generate, connect: Any, context: Any
) -> None:
    with odd_gateway(connect) as gateway:
        with pytest.raises(errors.ConfigurationError, match="on_moderated_output"):
            generate(on_moderated_output="create").execute(context())
        assert gateway.requests == []


def own_video(request: Any) -> bytes:
    return video("completed", request.path.rpartition("/")[2])


def given_up(record: dict[str, Any]) -> list[str]:
    below = record.get("replaced")
    return [] if below is None else [below["video_id"], *given_up(below)]


def deferred_or_done(work: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the deferral and its event, or the result and None."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        return work(), None
    except TaskDeferred as deferral:
        return deferral, fire(deferral)


def test_on_gone_fail_is_the_default_and_a_new_run_asks_too(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    with odd_gateway(connect, poll=(NOT_FOUND,)) as gateway:
        for run in ("one", "other"):
            with pytest.raises(errors.VideoNotFoundError, match="on_gone"):
                generate().execute(context(run_id=run))
        assert (sent(gateway), words_of(local)) == (1, ("created", VIDEO_ID))


def test_on_gone_create_works_for_a_remix(
    hook: Any, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    creates = (video("queued", "video_1"), video("queued", "video_2"))
    answers = {"video_1": NOT_FOUND, "video_2": video("completed", "video_2")}

    def poll(request: Any) -> bytes:
        return answers[request.path.rpartition("/")[2]]

    with odd_gateway(connect, create=creates, poll=(poll,)) as gateway:
        arguments: dict[str, Any] = {"destination": local.uri("cat.mp4"), "poll_interval": 0.01, "on_gone": "create"}
        task = WisdomGateRemixVideoOperator(task_id="clip", video_id="video_0", prompt="at night", **arguments)
        stored = task.execute(context())
        assert (stored["video_id"], local.read("cat.mp4"), sent(gateway)) == ("video_2", whole(), 2)


def test_on_gone_create_does_not_act_on_the_answers_of_strangers(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    page = http(404, b"<html>404 Not Found</html>")
    with odd_gateway(connect, poll=(page,)) as gateway:
        with pytest.raises(errors.WisdomGateError):
            generate(on_gone="create").execute(context())
        assert (sent(gateway), words_of(local)) == (1, ("created", VIDEO_ID))


def test_a_gone_video_of_another_run_does_not_block_a_replacement(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, impatient: None
) -> None:
    creates = (video("queued", "video_1"), video("queued", "video_2"))
    answers = {"video_1": NOT_FOUND, "video_2": video("completed", "video_2")}

    def poll(request: Any) -> bytes:
        return answers[request.path.rpartition("/")[2]]

    with odd_gateway(connect, create=creates, poll=(poll,)) as gateway:
        with pytest.raises(errors.VideoNotFoundError):
            generate(if_exists="replace").execute(context())
        stored = generate(if_exists="replace").execute(context(run_id="next"))
        assert (stored["video_id"], sent(gateway)) == ("video_2", 2)


def test_an_id_that_a_user_gave_keeps_its_short_grace(hook: Any, local: LocalPlace, connect: Any, context: Any) -> None:
    with odd_gateway(connect, content=(NOT_FOUND,)) as gateway:
        task = WisdomGateDownloadVideoOperator(task_id="clip", video_id=VIDEO_ID, destination=local.uri("cat.mp4"))
        with pytest.raises(errors.VideoNotReadyError):
            task.execute(context())
        assert (local.names(), sum(it.path.endswith("/content") for it in gateway.requests) < 20) == ([], True)
