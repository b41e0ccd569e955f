"""References of a create: images are read from where clips can be kept, and what the gateway reads stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import scripted
from support import LocalPlace, S3Place

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.reference_image import MAX_REFERENCE_BYTES, read_references
from airflow_provider_wisdomgate.gateway.routes import Part

Place = LocalPlace | S3Place


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"\xff\xd8\xff\xe0rest", "jpeg"), (b"\x89PNG\r\n\x1a\nrest", "png"), (b"RIFF\0\0\0\0WEBPrest", "webp")],
)
def test_a_reference_image_is_read_with_the_type_that_its_bytes_tell(data: bytes, kind: str, place: Place) -> None:
    place.write("image", data)
    part = read_references(place.uri("image"))
    assert isinstance(part, Part)
    assert (part.name, part.content, part.content_type) == (f"reference.{kind}", data, f"image/{kind}")


def test_a_reference_that_is_missing_or_no_image_is_named(place: Place) -> None:
    place.write("image", b"GIF89a")
    with pytest.raises(errors.ConfigurationError, match=r"input_reference .* is no JPEG, PNG or WebP image"):
        read_references(place.uri("image"))
    with pytest.raises(errors.ConfigurationError, match=r"input_reference .* does not exist"):
        read_references(place.uri("nothing"))


AS_GIVEN = [
    "https://images.example/cat.png?signature=a%2Bb",
    "HTTP://127.0.0.1:1/cat.png",
    "data:image/png;base64,iVBORw0KGgo=",
    {"image_url": "https://images.example/cat.png"},
    {"file_id": "file-1", "more": [None]},
]


@pytest.mark.parametrize("given", [*AS_GIVEN, AS_GIVEN], ids=repr)
def test_a_reference_that_the_gateway_reads_stays_as_it_is(given: Any) -> None:
    assert read_references(given) == given


def test_files_and_urls_stand_in_one_list(place: Place) -> None:
    place.write("1 image", b"\xff\xd8\xff\xe0rest")
    part = Part("reference.jpeg", b"\xff\xd8\xff\xe0rest", "image/jpeg")
    assert read_references([place.uri("1 image"), AS_GIVEN[0]]) == [part, AS_GIVEN[0]]


NO_REFERENCES: dict[str, Any] = {
    "nothing": "",
    "an empty list": [],
    "an empty object": {},
    "a list in a list": [["https://secret.example/"]],
    "a flag": True,
    "bytes": b"secret",
    "no host": "https:///secret.png",
    "a blank in a URL": "https://h.example/secret cat.png",
    "a line in a URL": "https://h.example/secret\ncat.png",
    "a backslash in a URL": "https://h.example\\secret",
    "data without data": "data:image/png;base64,",
    "data without a comma": "data:secret",
    "an object that is no JSON": {"image_url": b"x"},
    "half a character": {"image_url": "\ud800"},
    "data that is too large": f"data:image/png;base64,{'secret' * 9_000_000}",
    "an object that is too large": {"image_url": "secret" * 9_000_000},
    "several that are too large together": ["data:," + "secret" * 5_000_000] * 2,
}


@pytest.mark.parametrize("given", NO_REFERENCES.values(), ids=NO_REFERENCES.keys())
def test_a_reference_that_cannot_be_sent_is_named_and_not_quoted(given: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="input_reference") as caught:
        read_references(given)
    assert "secret" not in str(caught.value)


def test_several_files_have_one_limit_together(place: Place) -> None:
    place.write("image", b"\x89PNG\r\n\x1a\n" + bytes(MAX_REFERENCE_BYTES // 2))
    with pytest.raises(errors.ConfigurationError, match="beside the others"):
        read_references([place.uri("image")] * 2)


@pytest.mark.parametrize("scheme", ["simplecache::https", "filecache::http", "reference"])
def test_no_chain_of_file_systems_opens_a_url(scheme: str) -> None:
    with scripted(lambda request: b"") as gateway:
        with pytest.raises(errors.WisdomGateError):
            read_references(f"{scheme}://127.0.0.1:{gateway.port}/cat.png")
        assert gateway.requests == []
