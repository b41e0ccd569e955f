"""A reference image is a part of the request: another image asks for another video."""

from __future__ import annotations

from typing import Any

import pytest
from steps import Generate, deferred
from support import LocalPlace, fire, resume, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.reference_image import MAX_REFERENCE_BYTES
from airflow_provider_wisdomgate.sandbox import Sandbox

PNG = b"\x89PNG\r\n\x1a\n and so on"


def test_the_same_image_is_the_same_request_and_another_image_another(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    local.write("image.png", PNG)
    first = generate(input_reference=local.uri("image.png")).execute(context())
    local.write("copy.png", PNG)
    assert generate(input_reference=local.uri("copy.png")).execute(context()) == first
    assert first["request"]["input_reference_sha256"] == sha256(PNG)
    local.write("image.png", PNG + b"!")
    with pytest.raises(errors.DestinationTakenError):
        generate(input_reference=local.uri("image.png")).execute(context(run_id="next"))
    assert sandbox.counts()["creates"] == 1


def test_an_image_that_is_gone_when_the_task_resumes_costs_no_clip(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """It is read again only if the manifest is gone, too. Then the trigger's words are all that is certain."""
    local.write("image.png", PNG)
    operator = generate(input_reference=local.uri("image.png"), deferrable=True)
    deferral = deferred(operator, context())
    event = fire(deferral)
    local.delete("image.png")
    local.delete("cat.mp4.json")
    stored = resume(operator, deferral, event, context())
    request = {"base_url": f"{sandbox.url}/v1"}
    assert (stored["phase"], stored["request"], local.read("cat.mp4")) == ("stored", request, whole())


def test_a_folder_is_no_image(generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any) -> None:
    local.write("images/cat.png", PNG)
    with pytest.raises(errors.ConfigurationError, match=r"images.* is no file but a folder"):
        generate(input_reference=local.uri("images")).execute(context())
    assert sandbox.requests() == []


def test_an_image_that_is_too_large_is_not_sent(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    local.write("image.png", PNG + bytes(MAX_REFERENCE_BYTES))
    with pytest.raises(errors.ConfigurationError, match=f"more than {MAX_REFERENCE_BYTES}"):
        generate(input_reference=local.uri("image.png")).execute(context())
    assert sandbox.requests() == []


def test_an_image_in_fields_is_part_of_the_request_and_recorded_by_its_hash(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    image = "data:image/png;base64," + "A" * 3_000_000
    first = generate(fields={"images": [image]}).execute(context())
    assert generate(fields={"images": [image]}).execute(context(run_id="next")) == first
    assert len(local.read("cat.mp4.json")) < 10_000
    with pytest.raises(errors.DestinationTakenError, match=r"images: .* there, .* wanted"):
        generate(fields={"images": [image + "B"]}).execute(context(run_id="next"))
    assert sandbox.counts()["creates"] == 1


def test_a_request_that_is_too_large_to_be_recorded_is_not_sent(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"too large to be recorded.*fields"):
        generate(fields={"frames": [0] * 1_000_000}).execute(context())
    assert (sandbox.requests(), local.names()) == ([], [])
