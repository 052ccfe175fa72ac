"""The model registry, as far as a server needs it: which version is the champion, and its artifacts, checked by their digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import httpx

ARTIFACT = "model.onnx"
METADATA = "metadata.json"


class RegistryError(Exception):
    """A version cannot be had."""


@dataclass(frozen=True)
class Artifact:
    """A version as it lies in the registry."""

    version: str
    model: bytes
    metadata: bytes


class Registry:
    """A client of the registry's HTTP API; it is MLflow's."""

    def __init__(self, url: str, name: str, timeout_s: float = 5.0) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout_s)
        self._name = name

    def champion(self) -> str:
        """The version that users must be served."""
        found = self._get("/api/2.0/mlflow/registered-models/alias", name=self._name, alias="champion")
        return str(found["model_version"]["version"])

    def fetch(self, version: str) -> Artifact:
        """A version's artifacts. One that is not what was registered is refused."""
        found = self._get("/api/2.0/mlflow/model-versions/get", name=self._name, version=version)
        tags = {tag["key"]: tag["value"] for tag in found["model_version"]["tags"]}
        model = self._artifact(version, ARTIFACT)
        digest = hashlib.sha256(model).hexdigest()
        if digest != tags.get("sha256"):
            raise RegistryError(
                f"version {version}: its artifact has the digest {digest}, registered is {tags.get('sha256')}"
            )
        return Artifact(version, model, self._artifact(version, METADATA))

    def _artifact(self, version: str, name: str) -> bytes:
        return self._answer(f"/api/2.0/mlflow-artifacts/artifacts/{self._name}/{version}/{name}", {}).content

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer(path, query).json()
        return answer

    def _answer(self, path: str, query: dict[str, str]) -> httpx.Response:
        try:
            return self._client.get(path, params=query).raise_for_status()
        except httpx.HTTPStatusError as error:
            raise RegistryError(f"the registry answers {error.response.status_code}: {error.response.text}") from error
        except httpx.HTTPError as error:
            raise RegistryError(f"the registry cannot be asked: {error!r}") from error
