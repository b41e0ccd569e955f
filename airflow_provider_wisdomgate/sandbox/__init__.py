"""A local gateway that renders real MP4s and misbehaves on request. Never a gateway, never an AI video.

Imports nothing of Airflow and nothing of the provider: it is the far side, written from the contract alone, so that one
bug cannot hide on both ends. Importing this package is free; `Sandbox` loads its server (extra `sandbox`) when touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_wisdomgate.sandbox.server import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> object:
    """Load `Sandbox` when asked for, so that pytest can load our plugin without the extra being installed."""
    if name == "Sandbox":
        from airflow_provider_wisdomgate.sandbox.server import Sandbox

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
