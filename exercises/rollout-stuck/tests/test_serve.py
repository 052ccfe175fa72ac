"""The model server of a cluster, with the real models: it serves the version that its pod names, and no other."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

HERE = Path(__file__).parent.parent
MODELS = Path("/models/registry/fraud")
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/fraud/"


class Registry(BaseHTTPRequestHandler):
    """A registry whose champion is version 3."""

    def do_GET(self) -> None:
        url = urlparse(self.path)
        if url.path.startswith(ARTIFACTS):
            return self.send(200, (MODELS / url.path.removeprefix(ARTIFACTS)).read_bytes())
        version = parse_qs(url.query).get("version", ["3"])[0]
        if not (MODELS / version).exists():
            return self.send(404, b"{}")
        digest = hashlib.sha256((MODELS / version / "model.onnx").read_bytes()).hexdigest()
        found = {"model_version": {"version": version, "tags": [{"key": "sha256", "value": digest}]}}
        return self.send(200, json.dumps(found).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def serve(registry: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE.parent / "model-down" / "reference" / "model"))
    monkeypatch.syspath_prepend(str(HERE / "images"))
    monkeypatch.setenv("REGISTRY_URL", registry)
    monkeypatch.setenv("FEATURES_URL", registry)
    for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001  # each server is a process of its own elsewhere
        REGISTRY.unregister(collector)
    for name in ("app", "features", "model", "registry", "serve"):
        sys.modules.pop(name, None)
    loaded = importlib.import_module("serve")
    monkeypatch.setattr(loaded, "LOADING_S", 0.2)
    # What is run is asked here, and nothing listens.
    monkeypatch.setattr(loaded.uvicorn, "run", lambda *_, **__: None)
    return loaded


def test_it_serves_the_version_that_its_pod_names_and_loads_no_other(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_VERSION", "2")
    serve.main()
    with TestClient(serve.app.app) as server:
        assert server.get("/v2/health/live").status_code == 200
        assert server.get("/v2/health/ready").status_code == 503
        deadline = time.monotonic() + 10
        while server.get("/v2/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert server.get("/v2/models/fraud").json()["versions"] == ["2"]
        load = server.post("/v2/repository/models/fraud/load", json={"parameters": {"version": "3"}})
        assert load.status_code == 404
        assert 'model_info{version="2"} 1.0' in server.get("/metrics").text


def test_a_version_that_nobody_registered_is_alive_and_never_ready(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_VERSION", "77")
    serve.main()
    with TestClient(serve.app.app) as server:
        time.sleep(0.5)
        assert server.get("/v2/health/live").status_code == 200
        assert server.get("/v2/health/ready").status_code == 503


def test_without_a_version_it_does_not_start(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    with pytest.raises(SystemExit, match="MODEL_VERSION"):
        serve.main()
