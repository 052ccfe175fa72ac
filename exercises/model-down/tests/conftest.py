"""A registry and a feature store on loopback, with the real models: what the deployment's programs talk to in tests."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

MODELS = Path("/models/registry/fraud")


@dataclass
class Platform:
    """What the two services know, and how the store behaves."""

    url: str = ""
    aliases: dict[str, str] = field(default_factory=lambda: {"champion": "3", "previous": "2"})
    digests: dict[str, str] = field(default_factory=dict)
    store: str = "well"
    asked: int = 0

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """The answer to a GET."""
        if path.startswith("/features/"):
            return self.features()
        if path.startswith("/api/2.0/mlflow-artifacts/artifacts/fraud/"):
            return 200, (MODELS / path.removeprefix("/api/2.0/mlflow-artifacts/artifacts/fraud/")).read_bytes()
        version = self.aliases.get(query["alias"]) if "alias" in query else query["version"]
        if version is None or not (MODELS / version).exists():
            return 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
        digest = hashlib.sha256((MODELS / version / "model.onnx").read_bytes()).hexdigest()
        tags = [{"key": "sha256", "value": self.digests.get(version, digest)}]
        return 200, json.dumps({"model_version": {"version": version, "tags": tags}}).encode()

    def features(self) -> tuple[int, bytes]:
        """The answer of the feature store."""
        self.asked += 1
        if self.store == "slow":
            time.sleep(0.5)
        if self.store == "failing":
            return 503, b"down"
        if self.store == "garbled":
            return 200, b'{"features": []}'
        as_of = time.time() - (3600 if self.store == "stale" else 0)
        features = {"dispute_rate": 0.7, "account_age_days": 90}
        return 200, json.dumps({"features": features, "as_of": as_of}).encode()


@pytest.fixture
def platform() -> Iterator[Platform]:
    known = Platform()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlparse(self.path)
            status, body = known.answer(url.path, {key: value[0] for key, value in parse_qs(url.query).items()})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield known
    server.shutdown()
