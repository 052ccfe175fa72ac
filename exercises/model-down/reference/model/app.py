"""Serves the champion of the fraud model by the Open Inference Protocol, version 2.

A request names an account, and the transaction's own features. The rest comes from the feature store; where that cannot be had,
the model's defaults stand in, and the answer says that it is degraded. A version is loaded beside the one that serves, and takes
its place in one step: nobody waits, and nothing changes when it cannot be loaded.

Settings come from the environment: REGISTRY_URL, FEATURES_URL, FEATURES_TIMEOUT_S, FEATURES_MAX_AGE_S.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field

from features import FeatureStore
from model import FEATURES, Model, ModelError
from registry import Registry, RegistryError

NAME = "fraud"
# What the store knows; everything else stands in the request.
STORED = ("dispute_rate", "account_age_days")
SCORE_BUCKETS = [step / 20 for step in range(1, 21)]

log = logging.getLogger("uvicorn.error")

REQUESTS = Counter("inference_requests_total", "Inference requests by HTTP status.", ["code"])
LATENCY = Histogram(
    "inference_duration_seconds",
    "Time to answer a request for a score.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
DEGRADED = Counter("inference_degraded_total", "Answers that were made without the feature store.")
SCORES = Histogram("inference_score", "Scores that were answered.", ["version"], buckets=SCORE_BUCKETS)
EXPECTED = Gauge("inference_score_expected", "The share of scores up to a bound in training.", ["version", "le"])
MODEL_INFO = Gauge("model_info", "The version that is served: 1 for it.", ["version"])


class Tensor(BaseModel):
    """An input tensor of the protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: Annotated[list[float | str], Field(min_length=1, max_length=1)]


class InferenceRequest(BaseModel):
    """A request of the protocol: one tensor of shape [1] a feature, and one for the account, in any order."""

    inputs: Annotated[list[Tensor], Field(max_length=32)]


class LoadRequest(BaseModel):
    """A request to load a version, by the protocol's model repository extension."""

    parameters: dict[str, str]


class Serving:
    """The version that answers, if there is one."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.model: Model | None = None

    def load(self, version: str) -> None:
        """Loads a version beside the one that serves, then lets it take over."""
        model = Model(self._registry.fetch(version))
        self.model = model
        MODEL_INFO.clear()
        MODEL_INFO.labels(model.version).set(1)
        EXPECTED.clear()
        for bound, share in model.score_distribution.items():
            EXPECTED.labels(model.version, bound).set(share)
        log.info("serving version %s", model.version)

    def load_champion(self) -> None:
        """Loads the version that users must be served."""
        self.load(self._registry.champion())

    async def begin(self) -> None:
        """Loads the champion as soon as the registry has it."""
        while self.model is None:
            try:
                await asyncio.to_thread(self.load_champion)
            except (RegistryError, ModelError) as error:
                log.error("no champion yet: %s", error)
                await asyncio.sleep(1)


serving = Serving(Registry(os.environ.get("REGISTRY_URL", "http://registry:8080"), NAME))
store = FeatureStore(
    os.environ.get("FEATURES_URL", "http://features:8080"),
    timeout_s=float(os.environ.get("FEATURES_TIMEOUT_S", "0.1")),
    max_age_s=float(os.environ.get("FEATURES_MAX_AGE_S", "900")),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Loads the champion in the background: until then the server is alive and not ready."""
    beginning = asyncio.create_task(serving.begin())
    yield
    beginning.cancel()


app = FastAPI(title=NAME, lifespan=lifespan)


def ready_model() -> Model:
    """The version that serves, else 503."""
    if serving.model is None:
        raise HTTPException(503, "no model is loaded")
    return serving.model


@app.get("/v2/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@app.get("/v2/health/ready")
@app.get(f"/v2/models/{NAME}/ready")
async def ready() -> dict[str, bool]:
    """Requests can be answered."""
    ready_model()
    return {"ready": True}


@app.get(f"/v2/models/{NAME}")
async def metadata() -> dict[str, Any]:
    """Which version answers."""
    return {"name": NAME, "versions": [ready_model().version], "platform": "onnxruntime"}


@app.post(f"/v2/repository/models/{NAME}/load")
async def load(request: LoadRequest) -> dict[str, str]:
    """Loads a version and serves it; whatever goes wrong, the version that served goes on."""
    version = request.parameters.get("version", "")
    try:
        await asyncio.to_thread(serving.load, version)
    except (RegistryError, ModelError) as error:
        log.error("version %s was not loaded: %s", version, error)
        raise HTTPException(422, str(error)) from error
    return {"version": version}


@app.get("/metrics")
async def metrics() -> Response:
    """Everything that Prometheus scrapes."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@app.post(f"/v2/models/{NAME}/infer")
async def infer(request: InferenceRequest) -> dict[str, Any]:
    """The score of one transaction."""
    started = time.perf_counter()
    code = "500"
    try:
        model = ready_model()
        features, degraded = await complete(read(request), model)
        score = await asyncio.to_thread(model.score, features)
        code = "200"
    except HTTPException as refused:
        code = str(refused.status_code)
        raise
    finally:
        REQUESTS.labels(code).inc()
        LATENCY.observe(time.perf_counter() - started)
    SCORES.labels(model.version).observe(score)
    DEGRADED.inc(degraded)
    return {
        "model_name": NAME,
        "model_version": model.version,
        "outputs": [{"name": "score", "shape": [1], "datatype": "FP64", "data": [score]}],
        "parameters": {"degraded": degraded},
    }


def read(request: InferenceRequest) -> dict[str, float | str]:
    """The values of a request, each exactly once, else 400."""
    values = {tensor.name: tensor.data[0] for tensor in request.inputs}
    if len(values) != len(request.inputs):
        raise HTTPException(400, "an input stands there twice")
    return values


async def complete(values: dict[str, float | str], model: Model) -> tuple[dict[str, float], bool]:
    """All features of a transaction, and whether defaults had to stand in for what the store knows.

    A request that brings the store's features itself, as golden data does, needs no store.
    """
    features = {name: number(values, name) for name in FEATURES if name in values or name not in STORED}
    if len(features) == len(FEATURES):
        return features, False
    account = values.get("account")
    if not isinstance(account, str):
        raise HTTPException(400, "`account` is needed: a text")
    stored = await store.of(account)
    if stored is None or not all(name in stored for name in STORED):
        return model.defaults | features, True
    return stored | features, False


def number(values: dict[str, float | str], name: str) -> float:
    """A value of a request as a finite number, else 400."""
    value = values.get(name)
    if not isinstance(value, float) or not math.isfinite(value):
        raise HTTPException(400, f"`{name}` is needed once, as a finite number")
    return value
