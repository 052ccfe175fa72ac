"""The feature store's client. The store is allowed to be slow, to fail and to be behind: an answer must not be."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

import httpx
from prometheus_client import Counter

LOOKUPS = Counter("feature_lookups_total", "Lookups in the feature store by outcome.", ["outcome"])


class FeatureStore:
    """What is known of accounts, within a time limit, and only while it is fresh."""

    def __init__(self, url: str, timeout_s: float, max_age_s: float) -> None:
        self._client = httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=200))
        self._timeout_s = timeout_s
        self._max_age_s = max_age_s

    async def of(self, account: str) -> dict[str, float] | None:
        """An account's features, or none when they cannot be had in time or are too old."""
        outcome, features = await self._look_up(account)
        LOOKUPS.labels(outcome).inc()
        return features

    async def _look_up(self, account: str) -> tuple[str, dict[str, float] | None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.get(f"/features/{quote(account, safe='')}")
            known: dict[str, Any] = answer.raise_for_status().json()
            age_s = time.time() - float(known["as_of"])
            features = {name: float(value) for name, value in known["features"].items()}
        except TimeoutError:
            return "timeout", None
        except (httpx.HTTPError, KeyError, TypeError, ValueError):
            return "error", None
        if age_s > self._max_age_s:
            return "stale", None
        return "ok", features
