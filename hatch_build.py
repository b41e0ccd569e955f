"""Makes of README.md the description that a package index shows. Called by hatchling, see pyproject.toml.

There is no public repository that links could lead to: pictures are left out, and a link to a file says the file's name
instead. When there is one, this file goes: absolute links in README.md, `readme = "README.md"` and `[project.urls]`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)([^)]+)\)")
WHERE = """\
The files that this page names (`docs/`, `example_dags/`, `scripts/`) are in the source distribution:
`pip download --no-deps --no-binary :all: airflow-provider-wisdomgate`. There `./scripts/docs` makes a site of them."""


def description(readme: str) -> str:
    """Return the README without what leads nowhere outside a clone."""
    parts = [part for part in readme.split("\n\n") if "](docs/images/" not in part]
    title, about, *rest = [LINK.sub(_named, part) for part in parts]
    return "\n\n".join([title, about, WHERE, *rest])


def _named(link: re.Match[str]) -> str:
    text, target = link.groups()
    return text if text.strip("`/") == target.strip("/") else f"{text} (`{target}`)"


class Readme(MetadataHookInterface):
    """Sets the field."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description to the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text)}
