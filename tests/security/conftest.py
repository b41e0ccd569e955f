"""Fixtures of this folder: a gateway with a marked key, and a net that hears everything."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import LocalPlace

try:
    import structlog
except ImportError:  # Airflow 2 logs by the standard library alone
    structlog = None  # type: ignore[assignment]
from key_search import KEY, Listener, Net, Tasks

from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.fixture
def net(capfd: pytest.CaptureFixture[str]) -> Iterator[Net]:
    """A net that hears every logger at its most talkative, and standard output."""
    net = Net()
    listener = Listener(net)
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    heard = [logger for logger in loggers if logger is logging.root or not logger.propagate]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    for logger in heard:
        logger.addHandler(listener)
    if structlog:  # writes to standard output here
        usual = structlog.get_config()["wrapper_class"]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    yield net
    if structlog:
        structlog.configure(wrapper_class=usual)
    for logger in heard:
        logger.removeHandler(listener)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled


@pytest.fixture(scope="module")
def gateway() -> Iterator[Sandbox]:
    """A gateway whose key is the marked one."""
    with Sandbox(KEY) as gateway:
        yield gateway


@pytest.fixture
def marked(gateway: Sandbox, connect: Callable[..., Any], quick: None) -> Callable[..., None]:
    """Put the marked key into the default connection."""
    gateway.reset()

    def set_connection(**fields: Any) -> None:
        connect(**{"host": gateway.url, "password": KEY, **fields})

    set_connection()
    return set_connection


@pytest.fixture
def tasks(net: Net, local: LocalPlace, context: Any, marked: Any) -> Tasks:
    return Tasks(net, local, context)
