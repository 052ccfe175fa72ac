"""The model server of a cluster: it answers with one version of the model for as long as it lives, the one that its pod names.

    MODEL_VERSION=3 python3 serve.py

Everything else is the server's that `app.py` is. Another version means other pods: there is no route that would load one, and the
registry's champion is not asked for. On SIGTERM it stops listening at once, answers what is in hand, and ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

# What the server would look for beside it stands in another namespace here; the modules read that when they are imported.
os.environ.setdefault("REGISTRY_URL", "http://registry.platform:8080")
os.environ.setdefault("FEATURES_URL", "http://features.platform:8080")

import uvicorn

import app
from model import ModelError
from registry import Registry, RegistryError

LOAD = f"/v2/repository/models/{app.NAME}/load"
# Models of a size that people use take seconds until they are in memory. These are small, so that machines may be, and
# take a moment too.
LOADING_S = 2.0


class Pinned(app.Serving):
    """Serves one version, whichever is the champion."""

    def __init__(self, registry: Registry, version: str) -> None:
        super().__init__(registry)
        self._version = version

    async def begin(self) -> None:
        """Loads its version as soon as the registry has it."""
        while self.model is None:
            try:
                await asyncio.to_thread(self._load)
            except (RegistryError, ModelError) as error:
                app.log.error("version %s is not served: %s", self._version, error)
                await asyncio.sleep(1)

    def _load(self) -> None:
        time.sleep(LOADING_S)
        self.load(self._version)


def main() -> None:
    """Serves the version that the environment names."""
    version = os.environ.get("MODEL_VERSION", "")
    if not version:
        sys.exit("MODEL_VERSION says which version is served, and is not set")
    app.serving = Pinned(Registry(os.environ["REGISTRY_URL"], app.NAME), version)
    app.app.router.routes[:] = [route for route in app.app.router.routes if getattr(route, "path", "") != LOAD]
    uvicorn.run(app.app, host="0.0.0.0", port=8000, access_log=False)  # noqa: S104  # a pod's address is its own


if __name__ == "__main__":
    main()
