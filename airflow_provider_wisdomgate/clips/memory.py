"""Where a task keeps a few words: the id of a paid video besides the manifest, or what a wait has learnt.

Airflow 3.3 has ``task_state_store`` for that: it survives retries and clears, where XCom does not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

KEY = "wisdomgate_video"

log = logging.getLogger(__name__)


class Memory(Protocol):
    """A few words that outlive a try. Never raises: it is the second place, the manifest is the first."""

    def recall(self) -> Mapping[str, Any]:
        """Return what was remembered, nothing where nothing was."""

    def remember(self, words: Mapping[str, Any]) -> None:
        """Keep these words, plain JSON types, in place of earlier ones."""

    def forget(self) -> None:
        """Keep nothing any more."""


class NoMemory:
    """The memory of a task that has none."""

    def recall(self) -> Mapping[str, Any]:
        return {}

    def remember(self, words: Mapping[str, Any]) -> None:
        pass

    def forget(self) -> None:
        pass


class TaskMemory:
    """The memory that Airflow 3.3 gives to a task instance."""

    def __init__(self, store: Any, key: str = KEY) -> None:
        self._store, self._key = store, key

    def recall(self) -> Mapping[str, Any]:
        try:
            words = self._store.get(self._key)
        except Exception as error:
            log.warning("What this task remembers of an earlier try cannot be read: %r", error)
            return {}
        return words if isinstance(words, Mapping) else {}

    def remember(self, words: Mapping[str, Any]) -> None:
        try:
            self._store.set(self._key, dict(words))
        except Exception as error:
            log.warning("This task's state could not be kept beside the manifest and the log: %r", error)

    def forget(self) -> None:
        try:
            self._store.delete(self._key)
        except Exception as error:
            log.warning("What this task remembers stays behind: %r", error)


def memory_of(context: Any, key: str = KEY) -> Memory:
    """Return the memory of a task's context; before Airflow 3.3 there is none."""
    store = context.get("task_state_store")
    return NoMemory() if store is None else TaskMemory(store, key)
