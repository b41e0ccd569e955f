"""Makes help() show all arguments of an operator: Python shows those of a class's own docstring only."""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

Operator = TypeVar("Operator", bound=type[BaseOperator])

# One argument of a docstring: its name and its text, to the line that is not indented.
PARAM = re.compile(r"^:param (\w+): (.*(?:\n +.*)*)", re.M)


def shows_all_arguments(cls: Operator) -> Operator:
    """Add to an operator's docstring the arguments that its bases describe, and to each its default."""
    texts: dict[str, str] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__[: cls.__mro__.index(BaseOperator)]:
        for name, text in PARAM.findall(inspect.cleandoc(base.__doc__ or "")):
            texts.setdefault(name, text)
        if "__init__" in vars(base):
            for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items():
                parameters.setdefault(name, parameter)
    if cls.__doc__:  # `python -OO` has none
        told = [f":param {name}: {texts[name]}{_default(each)}" for name, each in parameters.items() if name in texts]
        cls.__doc__ = "\n".join([PARAM.sub("", inspect.cleandoc(cls.__doc__)).strip(), "", *told])
    return cls


def _default(parameter: inspect.Parameter) -> str:
    return " Required." if parameter.default is parameter.empty else f" Default: {parameter.default!r}."
