"""Differences between gateways, as tables: status words, error words, status codes. A new word is a new line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from airflow_provider_wisdomgate import exceptions as errors

DONE_WORDS = frozenset({"completed", "complete", "succeeded", "succeed", "success", "finished", "done"})

FAILED_WORDS = frozenset(
    {"failed", "failure", "fail", "error", "cancelled", "canceled", "expired", "rejected", "deleted"}
)

WAITING_WORDS = frozenset(
    {"queued", "processing", "in_progress", "unknown", "submitted", "pending", "preparing", "running"}
    | {"generating", "postprocessing", "not_start", "not_started"}
)

# Words that decide, whatever the status code is. Both `code` and `type` of an error are looked up.
ERROR_WORDS: Mapping[str, type[errors.GatewayError]] = {
    "video_not_ready": errors.VideoNotReadyError,
    "video_processing": errors.VideoNotReadyError,
    "video_expired": errors.VideoExpiredError,
    "expired": errors.VideoExpiredError,
    "video_not_found": errors.VideoNotFoundError,
    "task_not_found": errors.VideoNotFoundError,
    "task_not_exist": errors.VideoNotFoundError,
    "tasknotexist": errors.VideoNotFoundError,
    "tasknotfound": errors.VideoNotFoundError,
    "videonotfound": errors.VideoNotFoundError,
    "job_not_found": errors.VideoNotFoundError,
    "generation_not_found": errors.VideoNotFoundError,
    "invalid_task_id": errors.VideoNotFoundError,
    "invalid_video_id": errors.VideoNotFoundError,
    "model_not_found": errors.ModelNotFoundError,
    "insufficient_quota": errors.PermissionDeniedError,
    "insufficient_user_quota": errors.PermissionDeniedError,
    "insufficient_balance": errors.PermissionDeniedError,
    "insufficient_credits": errors.PermissionDeniedError,
    "billing_hard_limit_reached": errors.PermissionDeniedError,
    "pre_consume_token_quota_failed": errors.PermissionDeniedError,
    "invalid_api_key": errors.AuthenticationError,
}

# The names of a video's status, the surest first.
STATUS_NAMES = ("status", "task_status", "state")

# A code, type or message with one of these means that moderation refused, whatever else it has. All words from here to
# OUTPUT_WORDS are without blanks and punctuation: they find "content_filter", "contentFilter" and "content filter".
MODERATION_WORDS = (
    *("moderation", "moderated", "policy", "policies", "safety", "sensitive", "nsfw", "contentfilter", "contentcheck"),
    *("datainspection", "riskdetection", "riskcontrol", "ipinfringement", "contentrestricted", "contentblocked"),
    *("raimedia", "responsibleai", "prohibitedcontent", "inappropriate", "illegalcontent", "auditsubmitillegal"),
    *("copyright", "guardrail", "blocklist", "flagged", "violatesour", "敏感", "违规", "审核"),
)
# These mean something else: they are taken out first.
NO_MODERATION_WORDS = (
    *("casesensitive", "caseinsensitive", "safetysettings", "safetyidentifier", "enablesafetychecker"),
    *("ratelimitpolicy", "retentionpolicy", "retrypolicy", "refundpolicy", "pricingpolicy", "quotapolicy"),
    *("accesspolicy", "orgpolicy", "organizationpolicy", "iampolicy", "corspolicy", "bucketpolicy"),
    *("moderationserviceunavailable", "moderationservicetimedout", "moderationtimeout", "moderationtimedout"),
)
# The refused part: the code decides, then the message. A text with words of both counts as the input, and so
# does a text with neither: the input is refused again each time, and nobody shall pay for a guess.
INPUT_WORDS = (
    *("input", "prompt", "referenceimage", "referencevideo", "uploaded", "requestmoderated", "auditsubmit"),
    *("输入", "提示词", "参考图"),
)
OUTPUT_WORDS = (
    *("output", "generatedvideo", "generatedcontent", "generatedimage", "generatedaudio", "generatedclip"),
    *("generatedresult", "contentfiltered", "contentmoderated", "nsfw", "raimedia", "creationpolicy", "输出", "生成的"),
)
# With these an answer speaks of the key or the credit, whatever its words are.
PAYMENT_STATUSES = frozenset({401, 402})


class Shape(NamedTuple):
    """Where an answer may have an error object, the names of its reason and of its code, and what else to look into."""

    errors: Sequence[str]
    reasons: Sequence[str]
    codes: Sequence[str]
    places: Sequence[str] = ()


# Only what is in this shape speaks for the gateway: proxies and filters use the other names, too.
OWN_SHAPE = Shape(("error",), ("message", "detail"), ("code",))

# Why a video failed, or a request was refused.
ANY_SHAPE = Shape(
    errors=("error", "errors", "last_error"),
    reasons=(
        *("fail_reason", "failure_reason", "failureReason", "failed_reason", "message", "error_message"),
        *("errorMessage", "error_msg", "errorMsg", "err_msg", "errmsg", "msg", "task_status_msg", "status_msg"),
        *("status_message", "status_reason", "statusReason", "failure_message", "failureMessage", "failure"),
        *("reason", "detail", "details", "description", "raiMediaFilteredReasons"),
    ),
    codes=(
        *("code", "error_code", "errorCode", "err_code", "failure_code", "failureCode", "fail_code", "status_code"),
        "ErrCodeExt",
    ),
    places=(
        *("data", "output", "outputs", "result", "response", "base_resp", "task_result", "video"),
        *("incomplete_details", "status_details"),
    ),
)
# OpenAI's: {"moderation_details": {"moderation_stage": "output"}}
MODERATION_DETAILS, MODERATION_STAGE = "moderation_details", "moderation_stage"

STATUS_ERRORS: Mapping[int, type[errors.GatewayError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.PermissionDeniedError,
    403: errors.PermissionDeniedError,
    404: errors.VideoNotFoundError,
    405: errors.BadRequestError,
    408: errors.GatewayFaultError,
    409: errors.VideoNotReadyError,
    410: errors.VideoNotFoundError,
    413: errors.BadRequestError,
    422: errors.BadRequestError,
    425: errors.VideoNotReadyError,
    429: errors.RateLimitedError,
}

# Statuses that would end a paid wait for good, or speak of keys and credit.
FINAL_STATUSES = frozenset({401, 402, 403, 404, 410})

# These count whoever answers: slow down, and this is too much to take.
ANYBODYS_STATUSES = frozenset({413, 429})

# Codes of a failed video that blame the request: the same request fails again.
BAD_INPUT_WORDS = frozenset(
    {"invalid_request_error", "invalid_request", "invalid_prompt", "invalid_image", "bad_input"}
    | {"400", "422"}  # vLLM-Omni's code of a failure is an HTTP status
)

# With one of these in a 503 the gateway found nobody to send a create to: it surely did not arrive.
NOT_FORWARDED_WORDS = frozenset(
    {"get_channel_failed", "no_available_channel", "channel:no_available_key", "model_not_found"}
)

# A 4xx in the gateway's own words refuses a create, except these: the create may have been carried out.
UNSURE_STATUSES = frozenset({408, 409, 425, 499})

# Anybody's answer to a create with one of these was sent before the create was forwarded: the address, the route, the
# login or the rate limit of whatever stands before the gateway. Any other page may replace the answer of a made video.
BEFORE_FORWARDING = frozenset({301, 307, 308, 400, 401, 404, 405, 407, 411, 413, 414, 415, 421, 422, 426, 429, 431})

# Ingresses and filters answer {"message": ...} with these, too: it takes an error object, a code or a type.
FILTERS_STATUSES = frozenset({403, 451})

# With these an answer speaks of the key or the plan, never of the video: "expired" is the key's.
KEYS_STATUSES = frozenset({401, 402, 403})
VIDEOS_ERRORS = (errors.VideoExpiredError, errors.VideoNotFoundError, errors.VideoNotReadyError)

# Answers of the content route that a finished object's own address may replace: not let in, not there, no such route.
NOT_SERVED_STATUSES = frozenset({401, 402, 403, 404, 405, 410, 501})

# The names of a video's id, the surest first. A bare integer in `id` is a row number: every other sure name precedes.
SURE_ID_NAMES = ("id", "task_id", "video_id", "generation_id", "taskId", "videoId", "generationId")
# The last of them name a request or a job in errors as well.
ID_NAMES = (*SURE_ID_NAMES, "job_id", "jobId", "request_id", "requestId")

# An envelope has the video in one of these, as an object or a list of objects.
PLACES = ("data", "output", "result", "video")

# Codes of an envelope that is no error.
SUCCESS_CODES = frozenset({"", "0", "200", "ok", "success"})

# The names of the clip's own address in a finished object, the surest first, and the places in it that may hold it: as
# an object, as a list, or as the bare address.
ADDRESS_NAMES = (
    *("video_url", "videoUrl", "unsigned_urls", "video_urls", "result_url", "output_url", "download_url", "file_url"),
    *("resultUrls", "result_urls", "output_urls", "url", "uri"),
)
ADDRESS_PLACES = (
    *("meta_data", "metadata", "outputs", "output", "content", "video", "videos", "data", "result", "results"),
    *("task_result", "generations", "generated_videos", "creations", "assets", "response", "samples", "works", "urls"),
)

# An object without an id is a video if it has a status and one of these, and nothing that an envelope has.
VIDEO_FIELDS = frozenset(
    {"progress", "model", "seconds", "size", "created_at", "completed_at", "expires_at", "remixed_from_video_id"}
    | {"url", "video_url", "video"}
)
ENVELOPE_FIELDS = frozenset({"data", "code", "message", "msg", "success", "errors"})

# Phrases for a video that was asked for and does not exist.
UNKNOWN_VIDEO_PHRASES = (
    *("not exist", "not_exist", "not found", "not_found", "notfound", "no such video", "no such task", "no such id"),
    *("n't exist", "n't find", "not find", "no longer exist", "no longer available", "no video with", "no task with"),
    *("unknown video", "unknown task", "unknown id", "invalid video id", "invalid task id", "invalid video_id"),
    *("invalid task_id", "不存在", "未找到", "找不到"),
)
# Such a phrase must name one of the first in a shape that any proxy has, and none of the second in the gateway's own.
VIDEO_NOUNS = ("video", "task", "job", "generation")
OTHER_NOUNS = ("model", "channel", "route", "endpoint", "page", "host", "user", "account", "api key")

# new-api's content route wraps the upstream's status in a 502; that number decides.
UPSTREAM_STATUS = "Upstream service returned status "

# new-api's and OpenAI's words for a route that is not there.
NO_SUCH_ROUTE = "Invalid URL ("
