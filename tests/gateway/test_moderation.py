"""What moderation refused: the input, or the video that was made. Vendors' codes and messages, as they come."""

from __future__ import annotations

from typing import Any

import pytest
from answers import reply

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import error_of, parse_created, parse_video
from airflow_provider_wisdomgate.gateway.video import Video, failure_of, missing_content

INPUT, OUTPUT = errors.ModerationError, errors.OutputModerationError

# The code of a failed video, its message, and what it means. Sources: the vendors' documents and users' reports.
VENDORS: list[tuple[str | None, str | None, type[errors.GatewayError]]] = [
    ("InputTextSensitiveContentDetected", "The request failed because the input text may contain sensitive", INPUT),
    ("InputTextSensitiveContentDetected", None, INPUT),
    ("InputImageSensitiveContentDetected.PrivacyInformation", "the input image may contain real person", INPUT),
    ("InputVideoSensitiveContentDetected.PolicyViolation", None, INPUT),
    ("InputTextRiskDetection", None, INPUT),
    ("OutputVideoSensitiveContentDetected", "the output video may contain sensitive information", OUTPUT),
    ("OutputVideoSensitiveContentDetected.PolicyViolation", "may be related to copyright restrictions", OUTPUT),
    ("OutputVideoSensitiveContentDetected", "Change the prompt and try again", OUTPUT),
    ("OutputAudioSensitiveContentDetected", None, OUTPUT),
    ("OutputImageRiskDetection", None, OUTPUT),
    ("SensitiveContentDetected.SevereViolation", None, INPUT),
    ("DataInspectionFailed", "Input data may contain inappropriate content.", INPUT),
    ("DataInspectionFailed", "Output data may contain inappropriate content.", OUTPUT),
    ("DataInspectionFailed", "Input or output data may contain inappropriate content.", INPUT),
    ("data_inspection_failed", None, INPUT),
    ("IPInfringementSuspect", None, INPUT),
    ("moderation_blocked", "Your request was blocked by our moderation system.", INPUT),
    ("moderation_blocked", "Rejected. (moderation of the output)", OUTPUT),
    ("Moderation_Blocked", None, INPUT),
    ("input_moderation", None, INPUT),
    ("output_moderation", None, OUTPUT),
    ("content_filtered", None, OUTPUT),
    ("contentFiltered", "The prompt was fine", OUTPUT),
    ("content_filter", None, INPUT),
    ("nsfw", None, OUTPUT),
    ("NSFW_CONTENT", "NSFW content detected in the prompt", OUTPUT),
    (None, "NSFW content detected in the prompt", INPUT),
    (None, "NSFW content detected", OUTPUT),
    ("content_policy_violation", "body.prompt: flagged by a content checker", INPUT),
    ("sensitive_words_detected", None, INPUT),
    ("SAFETY.INPUT.TEXT", None, INPUT),
    ("SAFETY.OUTPUT.VIDEO", None, OUTPUT),
    ("INPUT_PREPROCESSING.SAFETY.TEXT", None, INPUT),
    ("Request Moderated", None, INPUT),
    ("Content Moderated", None, OUTPUT),
    ("CreationPolicyViolation", None, OUTPUT),
    ("AuditSubmitIllegal", None, INPUT),
    ("1027", "output new_sensitive", OUTPUT),
    ("1026", "input new_sensitive", INPUT),
    ("ResponsibleAIPolicyViolation", None, INPUT),
    ("upstream_error", "the output video may contain sensitive information. Request id: 0217", OUTPUT),
    (None, "Task failed: {'code': 'OutputVideoSensitiveContentDetected.PolicyViolation'}", OUTPUT),
    (None, "The generated video was rejected by our safety system", OUTPUT),
    (None, "Failure to pass the risk control system", INPUT),
    (None, "This goes against our content policies", INPUT),
    (None, "Flagged as sensitive: the input or output", INPUT),
    (None, "The video was moderated", INPUT),
    (None, "输出视频可能包含敏感信息", OUTPUT),
    (None, "提示词包含违规内容", INPUT),
]
NO_MODERATION: list[tuple[str | None, str | None]] = [
    ("internal_error", None),
    (None, "out of memory"),
    ("INTERNAL.BAD_OUTPUT.CODE01", "An unexpected error occurred."),
    (None, "Field names are case-sensitive"),
    (None, "The moderation service timed out"),
    ("rate_limit_policy", "See our refund policy"),
    ("timeout", "the prompt was processed for too long, no output"),
]


@pytest.mark.parametrize(("code", "message", "kind"), VENDORS)
def test_a_failed_video_shows_what_moderation_refused(
    code: str | None, message: str | None, kind: type[errors.GatewayError]
) -> None:
    video = Video("v", "failed", error_code=code, error_message=message)
    assert [type(failure_of(video, may_recreate=may)) for may in (True, False)] == [kind, kind]


@pytest.mark.parametrize(("code", "message"), NO_MODERATION)
def test_words_of_other_failures_are_no_moderation(code: str | None, message: str | None) -> None:
    video = Video("v", "failed", error_code=code, error_message=message)
    assert type(failure_of(video, may_recreate=True)) is errors.VideoFailedError


@pytest.mark.parametrize(("code", "message", "kind"), VENDORS)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_create_is_never_about_an_output(
    status: int, code: str | None, message: str | None, kind: type[errors.GatewayError]
) -> None:
    answer = reply(status, {"error": {"code": code, "message": message}})
    with pytest.raises(errors.ModerationError) as caught:
        parse_created(answer)
    assert type(caught.value) is errors.ModerationError


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"code": 400, "msg": "content rejected by moderation", "data": {"flagged": True}}, "ModerationError"),
        (400, {"message": "Your prompt violates our usage policies"}, "ModerationError"),
        (400, {"detail": [{"loc": ["body", "prompt"], "msg": "flagged by a content checker"}]}, "ModerationError"),
        (400, {"error": {"message": "size is case-sensitive"}}, "BadRequestError"),
        (401, {"error": {"message": "policy", "code": "content_policy"}}, "AuthenticationError"),
        (403, {"error": {"message": "no", "code": "content_policy_violation"}}, "ModerationError"),
        (403, {"error": {"message": "against the safety policy of your account"}}, "PermissionDeniedError"),
        (403, {"message": "blocked by the security policy"}, "UnexpectedReplyError"),
        (429, {"error": {"message": "rate limit policy", "code": "rate_limit_policy"}}, "RateLimitedError"),
        (500, {"error": {"message": "the moderation service failed"}}, "GatewayFaultError"),
    ],
    ids=str,
)
def test_an_answers_status_decides_whether_its_message_may_mean_moderation(status: int, body: Any, kind: str) -> None:
    assert type(error_of(reply(status, body))).__name__ == kind


REASONS: dict[str, tuple[Any, str | None, str | None]] = {
    "error.message": ({"error": {"message": "no luck", "code": "x"}}, "x", "no luck"),
    "error as text": ({"error": "no luck"}, None, "no luck"),
    "error as a list": ({"error": [{"message": "one", "code": "x"}, "two"]}, "x", "one; two"),
    "errors": ({"errors": [{"detail": "no luck"}]}, None, "no luck"),
    "error in an error": ({"error": {"error": {"message": "no luck", "type": "t"}}}, "t", "no luck"),
    "error beside a fail_reason": ({"error": {"code": "x"}, "fail_reason": "no luck"}, "x", "no luck"),
    **{
        name: ({name: "no luck"}, None, "no luck")
        for name in (
            *("fail_reason", "failure_reason", "failureReason", "message", "error_message", "errorMessage"),
            *("reason", "detail", "details", "status_reason", "task_status_msg", "err_msg", "msg", "failure"),
        )
    },
    "data.fail_reason": ({"data": {"fail_reason": "no luck"}}, None, "no luck"),
    "data.error": ({"fail_reason": "task failed", "data": {"error": {"code": "x", "message": "no"}}}, "x", "no"),
    "output.message": ({"output": {"code": "DataInspectionFailed", "message": "no"}}, "DataInspectionFailed", "no"),
    "base_resp": ({"base_resp": {"status_code": 1027, "status_msg": "output bad"}}, "1027", "output bad"),
    "incomplete_details": ({"incomplete_details": {"reason": "content_filter"}}, None, "content_filter"),
    "failure and failureCode": ({"failure": "no", "failureCode": "SAFETY.OUTPUT"}, "SAFETY.OUTPUT", "no"),
    "a list of texts": ({"response": {"raiMediaFilteredReasons": ["one", "two"]}}, None, "one; two"),
    "FastAPI's list": ({"detail": [{"loc": ["body", "size"], "msg": "bad", "type": "x"}]}, "x", "body.size: bad"),
    "JSON as text": ({"fail_reason": '{"error": {"code": "x", "message": "no luck"}}'}, "x", "no luck"),
    "a success beside it": ({"message": "SUCCESS", "code": 0, "reason": "no luck"}, None, "no luck"),
    "the type says more than the code": ({"error": {"code": 400, "type": "nsfw"}}, "nsfw", None),
    "nothing": ({"type": "video", "prompt": "a cat", "error": None}, None, None),
}


@pytest.mark.parametrize(("body", "code", "message"), REASONS.values(), ids=REASONS.keys())
def test_the_reason_of_a_failure_is_found_wherever_it_is(body: Any, code: str | None, message: str | None) -> None:
    video = parse_video(reply(200, {"id": "v", "status": "failed", **body}, video_id="v"))
    assert (video.error_code, video.error_message) == (code, message)


def test_a_stage_beside_the_reason_is_a_part_of_it() -> None:
    details = {"moderation_stage": "output", "categories": ["violence"]}
    body = {"error": {"code": "moderation_blocked", "message": "no", "moderation_details": details}}
    video = parse_video(reply(200, {"id": "v", "status": "failed", **body}, video_id="v"))
    assert video.error_message == "no (moderation of the output)"
    assert type(failure_of(video, may_recreate=True)) is errors.OutputModerationError


@pytest.mark.parametrize("body", [{"message": "working on it"}, {"reason": "queued"}, {"detail": "soon"}], ids=str)
def test_a_video_in_progress_has_no_reason(body: Any) -> None:
    video = parse_video(reply(200, {"id": "v", "status": "processing", **body}, video_id="v"))
    assert video == Video("v", "processing")


FILTERED = {"error": {"code": "content_filtered", "message": "withheld"}}


@pytest.mark.parametrize(
    ("video", "kind"),
    [
        (Video("v", "completed"), "ContentModeratedError"),
        (Video("v", "done"), "ContentModeratedError"),
        (Video("v", "failed"), "OutputModerationError"),
        (Video("v", "failed", error_message="out of memory"), "VideoFailedError"),
        (Video("v", "expired"), "VideoExpiredError"),
        (Video("v", "processing"), "VideoNotReadyError"),
    ],
    ids=lambda value: str(value),
)
def test_content_that_moderation_withholds_means_what_the_status_says(video: Video, kind: str) -> None:
    withheld = error_of(reply(403, FILTERED, video_id="v"))
    assert type(missing_content(video, withheld, may_recreate=True)).__name__ == kind
