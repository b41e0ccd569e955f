"""Reads what a create asks for, strictly, in the dialect of its model. Pure: makes nothing, sends nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate.sandbox.directives import DirectiveError, Directives, parse

SORA_SECONDS = ("4", "8", "12", "1", "2")
LONGEST_SECONDS = 60


class CreateRequestError(ValueError):
    """A create that the gateway refuses; `param` names the field."""

    def __init__(self, param: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


@dataclass(frozen=True)
class CreateRequest:
    model: str
    prompt: str
    seconds: int
    size: tuple[int, int]
    directives: Directives
    fields: Mapping[str, Any]


def read_create_request(fields: Mapping[str, Any]) -> CreateRequest:
    """Check the fields of a create; an uploaded file stands in them as a dict with its `content_type`."""
    model, prompt = _text(fields, "model"), _text(fields, "prompt")
    references = fields.get("input_reference")
    for reference in references if isinstance(references, list) else [references]:
        if isinstance(reference, dict) and "sha256" in reference:  # a file
            kind = reference.get("content_type")
            if not str(kind).startswith("image/"):
                raise CreateRequestError("input_reference", f"unsupported mimetype {kind!r}; send image/*")
    return CreateRequest(
        model, prompt, read_seconds(model, fields), read_size(fields), read_directives(prompt), dict(fields)
    )


def read_directives(prompt: str) -> Directives:
    try:
        return parse(prompt)
    except DirectiveError as error:
        raise CreateRequestError("prompt", str(error)) from None


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise CreateRequestError(name, f"Missing required parameter: {name!r} (a string that is not blank)")
    return value


def read_seconds(model: str, fields: Mapping[str, Any]) -> int:
    """Read the length: sora wants `seconds` as a string, doubao-seedance `duration` as an integer, others take both."""
    if model.startswith("sora"):
        value = fields.get("seconds", "4")
        if not isinstance(value, str) or value not in SORA_SECONDS:
            raise CreateRequestError(
                "seconds", f"Invalid value: {value!r}. {model} takes seconds as a string: '4', '8', '12'"
            )
        return int(value)
    if model.startswith("doubao-seedance"):
        value = fields.get("duration", 5)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 15:
            raise CreateRequestError(
                "duration", f"Invalid value: {value!r}. {model} takes duration as an integer from 4 to 15"
            )
        return value
    value = fields.get("seconds", fields.get("duration", 4))
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,2}", str(value)) or not 1 <= int(value) <= LONGEST_SECONDS:
        raise CreateRequestError("seconds", f"Invalid value: {value!r}. Whole seconds from 1 to {LONGEST_SECONDS}")
    return int(value)


def read_size(fields: Mapping[str, Any]) -> tuple[int, int]:
    """Read a size: pixels (``64x48``, ``64*48``), lines (``768P``) or a ratio (``16:9``, of 160 lines)."""
    value = fields.get("size", "720x1280" if str(fields.get("model")).startswith("sora") else "1280x720")
    text = value if isinstance(value, str) else ""
    width = height = 0
    if match := re.fullmatch(r"(\d{2,4})[x*](\d{2,4})", text):
        width, height = int(match[1]), int(match[2])
    elif match := re.fullmatch(r"(\d{2,4})[pP]", text):
        width, height = _even(int(match[1]) * 16 / 9), int(match[1])
    elif match := re.fullmatch(r"([1-9]\d?):([1-9]\d?)", text):
        width, height = _even(160 * int(match[1]) / int(match[2])), 160
    if not all(16 <= side <= 4096 and side % 2 == 0 for side in (width, height)):
        raise CreateRequestError(
            "size", f"Invalid value: {value!r}. 'WIDTHxHEIGHT', both even, from 16 to 4096; or e.g. '768P', '16:9'"
        )
    return width, height


def _even(side: float) -> int:
    return 2 * round(side / 2)
