"""What drifts between gateways, as tables: status words, error words, status codes. A new word is a new line here."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_wisdomgate import exceptions as errors

DONE_WORDS = frozenset({"completed", "complete", "succeeded", "success", "finished"})

FAILED_WORDS = frozenset(
    {"failed", "failure", "fail", "error", "cancelled", "canceled", "expired", "rejected", "deleted"}
)

WAITING_WORDS = frozenset(
    {"queued", "processing", "in_progress", "unknown", "submitted", "pending", "preparing", "running"}
    | {"generating", "postprocessing", "not_start", "not_started"}
)

# Words that decide whatever the status code says. Both `code` and `type` of an error are looked up.
ERROR_WORDS: Mapping[str, type[errors.GatewayError]] = {
    "moderation_blocked": errors.ModerationError,
    "content_policy_violation": errors.ModerationError,
    "content_filter": errors.ModerationError,
    "sensitive_words_detected": errors.ModerationError,
    "video_not_ready": errors.VideoNotReadyError,
    "video_processing": errors.VideoNotReadyError,
    "video_expired": errors.VideoExpiredError,
    "expired": errors.VideoExpiredError,
    "video_not_found": errors.VideoNotFoundError,
    "task_not_found": errors.VideoNotFoundError,
    "task_not_exist": errors.VideoNotFoundError,
    "model_not_found": errors.ModelNotFoundError,
    "insufficient_quota": errors.PermissionDeniedError,
    "insufficient_user_quota": errors.PermissionDeniedError,
    "insufficient_balance": errors.PermissionDeniedError,
    "insufficient_credits": errors.PermissionDeniedError,
    "billing_hard_limit_reached": errors.PermissionDeniedError,
    "pre_consume_token_quota_failed": errors.PermissionDeniedError,
    "invalid_api_key": errors.AuthenticationError,
}

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

# What would end a paid wait for good, or speak of keys and credit.
FINAL_STATUSES = frozenset({401, 402, 403, 404, 410})

# What these say holds whoever says it: slow down, and this is too much to take.
ANYBODYS_STATUSES = frozenset({413, 429})

# What a failed video's code says about the request itself: the same request fails again.
BAD_INPUT_WORDS = frozenset(
    {"invalid_request_error", "invalid_request", "invalid_prompt", "invalid_image", "bad_input"}
    | {"400", "422"}  # vLLM-Omni's code of a failure is an HTTP status
)

# A 503 with one of these says that the gateway found nobody to send a create to: it surely did not arrive.
NOT_FORWARDED_WORDS = frozenset(
    {"get_channel_failed", "no_available_channel", "channel:no_available_key", "model_not_found"}
)

# A 4xx in the gateway's own words refuses a create, except these: the create may have been carried out.
UNSURE_STATUSES = frozenset({408, 409, 425, 499})

# Anybody's answer to a create with one of these was sent before the create was forwarded: the address, the route, the
# login or the rate limit of whatever stands before the gateway. Any other page may replace the answer of a made video.
BEFORE_FORWARDING = frozenset({301, 307, 308, 400, 401, 404, 405, 407, 411, 413, 414, 415, 421, 422, 426, 429, 431})

# Ingresses and filters say {"message": ...} with these, too: it takes an error object, a code or a type.
FILTERS_STATUSES = frozenset({403, 451})

# With these an answer speaks of the key or the plan, never of the video: "expired" is the key's.
KEYS_STATUSES = frozenset({401, 402, 403})
VIDEOS_ERRORS = (errors.VideoExpiredError, errors.VideoNotFoundError, errors.VideoNotReadyError)

# The names of a video's id, the surest first. A bare integer in `id` is a row number: `task_id` comes before it.
ID_NAMES = ("id", "task_id", "video_id", "generation_id", "job_id", "request_id")
# The last of them name a request or a job in errors as well.
SURE_ID_NAMES = ID_NAMES[:4]

# An envelope has the video in one of these, as an object or a list of objects.
PLACES = ("data", "output", "result", "video")

# Codes of an envelope that is no error.
SUCCESS_CODES = frozenset({"", "0", "200", "ok", "success"})

# An object without an id is a video if it has a status and one of these, and nothing that an envelope has.
VIDEO_FIELDS = frozenset(
    {"progress", "model", "seconds", "size", "created_at", "completed_at", "expires_at", "remixed_from_video_id"}
    | {"url", "video_url", "video"}
)
ENVELOPE_FIELDS = frozenset({"data", "code", "message", "msg", "success", "errors"})

# Ways to say of a video that was asked for that there is none.
UNKNOWN_VIDEO_PHRASES = (
    *("not exist", "not_exist", "not found", "not_found", "no such video", "no such task", "unknown video"),
)

# new-api's content route wraps the upstream's status in a 502; that number decides.
UPSTREAM_STATUS = "Upstream service returned status "

# new-api and OpenAI say so of a route that is not there.
NO_SUCH_ROUTE = "Invalid URL ("
