"""Makes of our docstrings what the API reference shows; an extension of griffe, see mkdocs.yml.

The docstrings are read, never imported. A class shows the arguments of its bases, too, as `**kwargs` passes them on;
an error shows whether a retry helps and what to do; `:class:` and its like become links; constants show their value.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from typing import Any

import griffe

log = logging.getLogger("mkdocs.hooks.site_docstrings")
PACKAGE = "airflow_provider_wisdomgate"
ROLE = re.compile(r":(?:class|func|meth|mod):`~?([\w.]+)`")
FIELD = re.compile(r":(?:param|raises|returns?)\b")
# Whose every argument must be described.
COMPLETE = tuple(
    f"{PACKAGE}.{name}" for name in ("operators", "sensors", "triggers", "hooks", "sandbox.server", "gateway.video")
)
NAME = re.compile(r":param (\w+):")
FINAL = "**Final**: Airflow ends the task at once, a retry cannot help."
TRANSIENT = "**Transient**: the same call may succeed later; a task retry may help."
MAY_HELP = "Not final: a task retry may help."


class Docstrings(griffe.Extension):
    """Called once the whole package is read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change what was read."""
        if pkg.name != PACKAGE:
            return
        everything = list(walk(pkg))
        classes = [each for each in everything if isinstance(each, griffe.Class)]
        inherited = {each.path: (arguments(each), fields_of_all(each)) for each in classes}
        for each in classes:
            inherit(each, *inherited[each.path])
            if each.module.path == f"{PACKAGE}.exceptions" and each.docstring:
                each.docstring.value += f"\n\n{advice(each)}"
        paths = [each.path for each in everything]
        for each in everything:
            if each.docstring:
                text, fields = split(each.docstring.value)
                each.docstring.value = ROLE.sub(lambda role: link(role[1], paths), "\n".join([*text, "", *fields]))
            if isinstance(each, griffe.Function):
                for parameter in each.parameters:
                    parameter.default = value_of(parameter.default, pkg)


def walk(obj: griffe.Object) -> Iterator[griffe.Object]:
    """List an object and all in it."""
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from walk(member)  # type: ignore[arg-type]


def bases_of(cls: griffe.Class) -> list[griffe.Class]:
    """List a class and those of its bases that are ours, nearest first."""
    return [cls, *cls.mro()]


def arguments(cls: griffe.Class) -> list[griffe.Parameter]:
    """List what a class can be made with: each __init__ passes on what it does not know."""
    found: dict[str, griffe.Parameter] = {}
    for base in bases_of(cls):
        init = base.members.get("__init__")
        if not isinstance(init, griffe.Function):
            continue
        passed_on = found.pop("kwargs", None)
        found = {**{parameter.name: parameter for parameter in init.parameters}, **found}
        if "kwargs" in [parameter.name for parameter in init.parameters]:
            found["kwargs"] = found.pop("kwargs")
        elif passed_on is None:
            break
        if "kwargs" not in found:
            break
    # What is required first, as in the signatures themselves.
    return sorted(found.values(), key=lambda each: (each.name != "self", each.name == "kwargs", bool(each.default)))


def fields_of_all(cls: griffe.Class) -> list[str]:
    """List the fields of a class's docstring and of its bases', each argument once."""
    found: dict[str, str] = {}
    for base in bases_of(cls):
        for field in split(base.docstring.value)[1] if base.docstring else []:
            name = NAME.match(field)
            found.setdefault(name[1] if name else field, field)
    return list(found.values())


def inherit(cls: griffe.Class, parameters: list[griffe.Parameter], fields: list[str]) -> None:
    """Give a class the arguments of its bases, and what their docstrings say of them."""
    if not cls.docstring or not parameters:
        return
    own = cls.members.get("__init__")
    if isinstance(own, griffe.Function):
        own.parameters = griffe.Parameters(*parameters)
    else:
        cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters), parent=cls))
    silent = {each.name for each in parameters} - {name[1] for field in fields if (name := NAME.match(field))}
    if cls.path.startswith(COMPLETE) and (silent := silent - {"self", "kwargs"}):
        log.warning("%s does not say what these arguments mean: %s", cls.path, ", ".join(sorted(silent)))
    cls.docstring.value = "\n".join([*split(cls.docstring.value)[0], "", *fields])


def split(docstring: str) -> tuple[list[str], list[str]]:
    """Split a docstring into its text and its fields: griffe takes text below the fields for a part of the last one."""
    text: list[str] = []
    fields: list[str] = []
    inside = False
    for line in docstring.splitlines():
        if FIELD.match(line):
            inside = True
            fields.append(line)
        elif inside and line.startswith(" "):
            fields[-1] += f"\n{line}"
        else:
            inside = False
            text.append(line)
    return text, fields


def advice(error: griffe.Class) -> str:
    """Say whether a retry helps after an error, and its next step."""
    bases = bases_of(error)
    final = any("AirflowFailException" in str(base) for each in bases for base in each.bases)
    facts = {
        name: ast.literal_eval(str(found[0])) if found else None
        for name in ("is_transient", "next_step")
        if (found := [each.members[name].value for each in bases if name in each.members]) or True
    }
    helps = FINAL if final else TRANSIENT if facts["is_transient"] else MAY_HELP
    return f"{helps} {facts['next_step'] or ''}".strip()


def link(target: str, paths: list[str]) -> str:
    """Make a link of a name; text, where the reference does not show what it names."""
    known = [path for path in paths if path == target or path.endswith(f".{target}")]
    text = target.removeprefix(f"{PACKAGE}.")
    return f'<autoref identifier="{known[0]}" optional><code>{text}</code></autoref>' if known else f"`{text}`"


def value_of(default: Any, package: griffe.Module) -> Any:
    """Return the value of a constant of ours, where a default names one."""
    if isinstance(default, griffe.ExprName) and default.canonical_path.startswith(f"{PACKAGE}."):
        named = package[default.canonical_path.removeprefix(f"{PACKAGE}.")]
        if named.is_attribute and named.value is not None:
            return value_of(named.value, package)
    return default
