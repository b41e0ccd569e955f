"""Generate a video through an HTTP gateway, wait for it without holding a worker, keep the clip.

Airflow reads this module in every one of its processes, so it imports nothing: provider discovery stays
cheap and cannot fail.
"""

__version__ = "0.1.0"

DEFAULT_BASE_URL = "https://wisdom-gate.juheapi.com"
DEFAULT_CONN_ID = "wisdomgate_default"

# The connection form. One set of constants for both readers: Airflow 3.2+ takes it from
# get_provider_info(), older ones ask the hook. No stored defaults: the form would write them into the
# connection, and a later change of ours would not reach it.
FORM_HIDDEN = ("schema", "port", "login")
FORM_LABELS = {"host": "Base URL", "password": "API key"}
FORM_PLACEHOLDERS = {"host": DEFAULT_BASE_URL, "password": "the gateway's key, sent as a Bearer token"}
FORM_EXTRAS = {
    "storage_path": {
        "label": "Storage path",
        "description": "Where clips go when a task names no absolute destination: a folder or a URI such as "
        "s3://aws_default@bucket/videos. Unset: the [wisdomgate] storage_path option.",
        "type": "string",
    },
    "requests_per_minute": {
        "label": "Polls per minute",
        "description": "How many polls (status requests) a minute one triggerer process sends at most. Creates and "
        "downloads do not count. Unset: no limit.",
        "type": "integer",
    },
    "timeout": {
        "label": "Timeout (s)",
        "description": "Seconds without a byte from the gateway before a request counts as failed. Unset: 60.",
        "type": "number",
    },
    "min_balance": {
        "label": "Minimum balance",
        "description": "No create is sent while the account has less than this, if the gateway reports its balance. "
        "Unset: no limit.",
        "type": "number",
    },
    "create_as": {
        "label": "Create as",
        "description": "For a gateway that takes a create in one encoding only: form or json. Unset: as the model is "
        "documented.",
        "type": "string",
    },
    "content_from": {
        "label": "Content from",
        "description": "Where a finished clip is fetched from: route (the content route), address (the one that the "
        "video's object names), or either (the route, and the address if the route does not serve it). Unset: either.",
        "type": "string",
    },
    "upload_args": {
        "label": "Upload arguments",
        "description": "JSON that goes with every write into s3://, gs:// or abfs://, such as "
        '{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "..."}. Unset: the same extra of the storage\'s own '
        "connection.",
        "type": "string",
    },
}


def get_provider_info():  # type: ignore[no-untyped-def]  # Airflow calls it; a typed dict needs an import
    """Describe to Airflow what this package brings (entry point ``apache_airflow_provider``)."""
    package = "airflow_provider_wisdomgate"
    name = "WisdomGate"
    return {
        "package-name": "airflow-provider-wisdomgate",
        "name": name,
        "description": "Generate videos through WisdomGate's (or any OpenAI-style) video API and keep the clips.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": name, "external-doc-url": "https://wisdom-gate.juheapi.com", "tags": ["service"]}
        ],
        "hooks": [{"integration-name": name, "python-modules": [f"{package}.hooks"]}],
        "operators": [{"integration-name": name, "python-modules": [f"{package}.operators"]}],
        "sensors": [{"integration-name": name, "python-modules": [f"{package}.sensors"]}],
        "triggers": [{"integration-name": name, "python-modules": [f"{package}.triggers"]}],
        "task-decorators": [{"name": "wisdomgate_video", "class-name": f"{package}.decorators.wisdomgate_video_task"}],
        "extra-links": [f"{package}.links.WisdomGateVideoLink"],
        "plugins": [{"name": "wisdomgate", "plugin-class": f"{package}.plugin.WisdomGatePlugin"}],
        "connection-types": [
            {
                "connection-type": "wisdomgate",
                "hook-class-name": f"{package}.hooks.WisdomGateHook",
                "hook-name": name,
                "ui-field-behaviour": {
                    "hidden-fields": list(FORM_HIDDEN),
                    "relabeling": dict(FORM_LABELS),
                    "placeholders": dict(FORM_PLACEHOLDERS),
                },
                "conn-fields": {
                    key: {
                        "label": field["label"],
                        "description": field["description"],
                        "schema": {"type": [field["type"], "null"]},
                    }
                    for key, field in FORM_EXTRAS.items()
                },
            }
        ],
        # Airflow 3.2 and newer; elsewhere the same commands are below `wisdomgate`.
        "cli": [f"{package}.cli.airflow_commands.get_cli_commands"],
        "config": {
            "wisdomgate": {
                "description": "Options of airflow-provider-wisdomgate.",
                "options": {
                    "storage_path": {
                        "description": "Where clips go when neither the task nor the connection says: a folder or "
                        "a URI such as ``s3://aws_default@bucket/videos``.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/videos",
                        "default": None,
                    },
                    "served_paths": {
                        "description": "What the player may serve besides ``storage_path``: folders or URIs, comma "
                        "separated. A clip is served only below one of them, and only when its manifest names the DAG.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/mnt/clips,s3://aws_default@other-bucket/videos",
                        "default": None,
                    },
                    "allow_unsafe_storage": {
                        "description": "Use a store that knows no conditional writes, or ignores them. Only if two "
                        "tasks never share a destination: they could both pay. Off: such a store is an error.",
                        "version_added": "0.2.0",
                        "type": "boolean",
                        "example": "True",
                        "default": "False",
                    },
                    "video_tab": {
                        "description": "Show a tab Video on the page of every task instance, and Videos on those of "
                        "every run and DAG (Airflow 3.1+). Off: the button Video on our own tasks leads there, too.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": "True",
                        "default": "False",
                    },
                },
            }
        },
    }
