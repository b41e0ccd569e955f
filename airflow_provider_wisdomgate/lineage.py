"""Announces to Airflow what was made: asset events, hook lineage, OpenLineage. Imports each only when it is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Context

    from airflow_provider_wisdomgate.ledger.driver import StoredVideo

FACTS = ("uri", "video_id", "size", "sha256", "content_type", "duration", "width", "height")


def public_uri(uri: str) -> str:
    """Return a URI without the ``conn_id@`` that Airflow's own paths carry: what other tools understand."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def announce(context: Context, outlets: Iterable[Any], hook: BaseHook, stored: StoredVideo) -> None:
    """Put the clip's facts on the task's outlet assets, and its URI into the hook lineage.

    An ``Asset`` gets them as the event's extra; an ``AssetAlias`` becomes the asset at the clip's URI.
    """
    uri = public_uri(stored.uri)
    if outlets := tuple(outlets):
        from airflow.providers.common.compat.sdk import Asset, AssetAlias

        facts = {**{name: getattr(stored, name) for name in FACTS}, "uri": uri}
        for outlet in outlets:
            if isinstance(outlet, AssetAlias):
                context["outlet_events"][outlet].add(Asset(uri), extra=facts)
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(facts)
    if _is_lineage_read():
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_output_asset(context=hook, uri=uri)  # type: ignore[no-untyped-call]


def _is_lineage_read() -> bool:
    """Whether a plugin reads hook lineage. Airflow's collector imports all assets and boto3 even if not."""
    try:
        from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins
    except ImportError:  # before Airflow 3.2
        return True
    return bool(get_hook_lineage_readers_plugins())


def openlineage_facets(stored: StoredVideo | None) -> Any:
    """Return the clip as OpenLineage's output dataset, None if that provider is not installed."""
    try:
        from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    if stored is None:
        return OperatorLineage()
    scheme, _, rest = public_uri(stored.uri).partition("://")
    place, _, name = rest.partition("/")  # no urlsplit: "?" and "#" are letters of a clip's name
    namespace, name = ("file", f"/{name}") if scheme == "file" else (f"{scheme}://{place}", name)
    statistics = OutputStatisticsOutputDatasetFacet(size=stored.size, fileCount=1)
    dataset = OutputDataset(namespace=namespace, name=name, outputFacets={"outputStatistics": statistics})
    return OperatorLineage(outputs=[dataset])
