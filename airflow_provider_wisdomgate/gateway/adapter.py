"""What of requests' connections is ours: once connected, sending gets the time of an answer, not that of a connect."""

from __future__ import annotations

from typing import Any

import requests
import urllib3

from airflow_provider_wisdomgate.gateway.routes import CREATE_TIMEOUT


class _PatientConnection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        # urllib3 leaves the connect timeout on the socket while a request is sent: 20 MB in 10 s, or a lost create.
        super().connect()
        self.sock.settimeout(CREATE_TIMEOUT)


class _PatientTLSConnection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(CREATE_TIMEOUT)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PatientConnection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PatientTLSConnection


def follow_nothing(response: requests.Response) -> str | None:
    """Stand in for a session's ``get_redirect_target``: we follow redirects by hand.

    requests reads every Location, followed or not: one that is no URL was a raw ValueError, and a lost paid id.
    """
    return None


POOLS = {"http": _Pool, "https": _TLSPool}


class PatientAdapter(requests.adapters.HTTPAdapter):
    """requests' own adapter on such connections."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # those connect in their own way
            manager.pool_classes_by_scheme = POOLS
        return manager
