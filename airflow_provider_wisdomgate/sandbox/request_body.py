"""Reads the body of a create or a remix: a form or JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from airflow_provider_wisdomgate.sandbox.create_request import CreateRequestError


async def read_fields(request: Request, takes: str | None) -> dict[str, Any]:
    """Return the fields of a form or a JSON object; of a file, its description.

    :param takes: ``form`` or ``json`` if the dialect reads only one of them.
    :raises CreateRequestError: the body is neither, or cannot be repeated.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if takes == "form" and kind != "multipart/form-data":
        raise CreateRequestError("prompt", "Field required: this gateway reads forms only")
    if takes == "json" and kind != "application/json":
        raise CreateRequestError("body", "Invalid request format: this gateway reads JSON only")
    if kind == "multipart/form-data":
        try:
            async with request.form() as form:
                parts: dict[str, list[Any]] = {}
                for name, value in form.multi_items():
                    parts.setdefault(name, []).append(await _read_part(value))
                return {name: values if len(values) > 1 else values[0] for name, values in parts.items()}
        except (HTTPException, ValueError):  # an older starlette lets the error of its parser through
            raise CreateRequestError("body", "The form cannot be read.") from None
    if kind != "application/json":
        raise CreateRequestError(
            "Content-Type", f"Unsupported content type {kind!r}: application/json or multipart/form-data"
        )
    try:
        fields = json.loads(await request.body())
        json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()  # NaN, half a character: cannot be repeated
    except (ValueError, RecursionError):
        raise CreateRequestError("body", "The body is no JSON.") from None
    if not isinstance(fields, dict):
        raise CreateRequestError("body", "The body is no JSON object.")
    return fields


async def _read_part(value: UploadFile | str) -> Any:
    if isinstance(value, str):
        return value
    data = await value.read()
    digest = hashlib.sha256(data).hexdigest()
    return {"filename": value.filename, "content_type": value.content_type, "size": len(data), "sha256": digest}
