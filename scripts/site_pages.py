"""Adds to the site what docs/ does not have as pages, and checks that a reader needs no network; a hook of MkDocs.

README.md is the first page; the examples, the changelog and the like become pages, so that links to them work on the
site as they do in a clone. Two tables of the reference are made of the code's own lists.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.hooks.site_pages")
ROOT = Path(__file__).parents[1]

# What the repository has outside docs/, and the page that shows it.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "example_dags": "examples.md",
}
MERMAID = Path(os.environ.get("MERMAID_JS", ""))
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
# What a browser loads by itself, by tag and attribute, and in style sheets.
LOADED = re.compile(
    r"""<(?:script|img|iframe|video|audio|source|embed)\b[^>]*?\ssrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*?\shref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|url\(["']?((?:https?:)?//[^)"']+)|@import\s+["']((?:https?:)?//[^"']+)""",
    re.IGNORECASE,
)
# What Material's script would load where it misses something: the diagrams' script, which the page brings, and a
# stand-in for what every browser since 2020 has.
CDN = re.compile(r"https://unpkg\.com/[\w@./-]+")


def on_config(config: Any) -> Any:
    """Draw diagrams where their script was found."""
    sys.path.insert(0, str(ROOT))  # for modules of the package that import nothing
    if MERMAID.is_file():
        from pymdownx.superfences import fence_code_format

        fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
        config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    made = {page: relinked((ROOT / name).read_text(), ROOT) for name, page in PAGES.items() if name.endswith(".md")}
    made |= {"examples.md": examples(), "reference/options.md": options(), "reference/directives.md": directives()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of docs/ that lead out of it lead to the pages."""
    source = page.file.abs_src_path
    return relinked(markdown, Path(source).parent) if source and Path(source).is_relative_to(ROOT) else markdown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Bring the diagrams' script to the pages that need it."""
    if 'class="mermaid"' not in output:
        return output
    script = "../" * page.url.count("/") + "assets/javascripts/mermaid.min.js"
    return output.replace("</head>", f'<script src="{script}"></script></head>')


def on_post_build(config: Any) -> None:
    """Check that nothing is loaded from elsewhere. A warning fails the build."""
    site = Path(config.site_dir)
    scripts = site / "assets" / "javascripts"
    if MERMAID.is_file():
        shutil.copy(MERMAID, scripts / "mermaid.min.js")
    for path in scripts.glob("bundle.*.js"):
        path.write_text(CDN.sub("data:,", path.read_text()))
    for path in [each for kind in ("html", "css", "js") for each in site.rglob(f"*.{kind}")]:
        text = path.read_text()
        for found in CDN.findall(text) if path.suffix == ".js" else ["".join(hit) for hit in LOADED.findall(text)]:
            log.warning("%s loads %s", path.relative_to(site), found)


def relinked(markdown: str, folder: Path) -> str:
    """Write links between files of the repository as links between pages."""

    def lead(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link[1]))
        if not target.is_relative_to(ROOT):
            return link[0]
        name = target.relative_to(ROOT).as_posix()
        if name.startswith("example_dags/"):
            return f"]({up}examples.md#{target.stem}"
        if name in PAGES:
            return f"]({up}{PAGES[name]}"
        return f"]({name.removeprefix('docs/')}" if folder == ROOT else link[0]

    up = "" if folder == ROOT else "../" * len(folder.relative_to(ROOT / "docs").parts)
    return LINK.sub(lead, markdown)


def examples() -> str:
    """Show each example DAG as it is."""
    text = "# Examples\n\nFor whoever wants a whole DAG to start from. These are the files of `example_dags/`.\n"
    for path in sorted((ROOT / "example_dags").glob("*.py")):
        text += f"\n## {path.name} {{ #{path.stem} }}\n\n```python\n{path.read_text()}```\n"
    return text


def options() -> str:
    """List the options and the connection's fields, as Airflow itself is told them."""
    from airflow_provider_wisdomgate import FORM_EXTRAS, get_provider_info

    told = get_provider_info()["config"]["wisdomgate"]["options"]
    rows = [[f"`{name}`", each["type"], f"`{each['default']}`", f"`{each['example']}`", each["description"]]
            for name, each in told.items()]  # fmt: skip
    fields = [[f"`{name}`", each["type"], each["label"], each["description"]] for name, each in FORM_EXTRAS.items()]
    return (
        "# Options and fields\n\nFor whoever sets this package up. What Airflow itself is told of it.\n\n"
        "## Options of `[wisdomgate]`\n\nIn `airflow.cfg`, or in the environment as `AIRFLOW__WISDOMGATE__<NAME>`.\n\n"
        + table(["option", "type", "default", "example", "meaning"], rows)
        + "\n## Fields of the connection\n\nIn the connection's extra. More: [connection](../connection.md).\n\n"
        + table(["field", "type", "label", "meaning"], fields)
    )


def directives() -> str:
    """List what a prompt can ask of the sandbox."""
    from airflow_provider_wisdomgate.sandbox.directives import DIRECTIVES, FAULTS

    asked = [[f"`{each.key}{'=' * bool(each.value)}{each.value}`", each.help] for each in DIRECTIVES]
    faults = [[f"`{each.name}`", ", ".join(each.routes), each.help] for each in FAULTS]
    return (
        "# Sandbox directives\n\nFor whoever [tests with the sandbox](../testing.md). A prompt asks for misbehaviour: "
        "`[sandbox: render=0 poll=500x2+429]`.\n\n## Directives\n\n" + table(["directive", "the video"], asked)
        + "\n## Replies\n\n`xN` after a reply is \"the first N times\"; `+` puts one after the other.\n\n"
        + table(["reply", "of the routes", "meaning"], faults)
    )  # fmt: skip


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a table in Markdown."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *escaped])
