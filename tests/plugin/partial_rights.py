"""An auth manager that lets its users read all but one kind of things: "no_run" no runs, and so on. For Airflow 3."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PartialRights(SimpleAuthManager):
    """Airflow's own, and what is in a user's name is refused; "once_xcom" is refused from the second time on."""

    asked: int = 0

    def is_authorized_dag(self, *, user: Any, access_entity: Any = None, **asked: Any) -> bool:
        name = access_entity.name.lower() if access_entity else ""
        if user.username == f"once_{name}":
            PartialRights.asked += 1
            return PartialRights.asked == 1
        is_allowed: bool = super().is_authorized_dag(user=user, access_entity=access_entity, **asked)
        return is_allowed and user.username != f"no_{name}"
