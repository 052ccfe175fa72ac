"""Serves one version of the fraud model by the Open Inference Protocol, version 2.

Settings come from the environment: MODEL_PATH is the folder of the version that is served, with `model.onnx` and
`metadata.json`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field

# The order in which the model was trained.
FEATURES = ("amount", "hour", "distance_km", "merchant_risk", "account_age_days")

log = logging.getLogger("uvicorn.error")

REQUESTS = Counter("inference_requests_total", "Inference requests by HTTP status.", ["code"])
LATENCY = Histogram(
    "inference_duration_seconds",
    "Time to answer an inference request.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
SCORES = Histogram("inference_score", "Scores that were answered.", buckets=[step / 20 for step in range(1, 21)])
MODEL_INFO = Gauge("model_info", "The version that is served: 1 for it.", ["version"])


class Tensor(BaseModel):
    """An input tensor of the protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: Annotated[list[float], Field(min_length=1, max_length=1)]


class InferenceRequest(BaseModel):
    """An inference request of the protocol: one tensor of shape [1] a feature, in any order."""

    inputs: Annotated[list[Tensor], Field(max_length=32)]


class Model:
    """A version of the model, loaded and warm."""

    def __init__(self, path: Path) -> None:
        metadata = json.loads((path / "metadata.json").read_text())
        self.version = str(metadata["version"])
        options = onnxruntime.SessionOptions()
        # One thread a request: the server's own concurrency is enough for a model this small.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.score(dict.fromkeys(FEATURES, 1.0))

    def score(self, features: dict[str, float]) -> float:
        """The probability of fraud."""
        row = np.asarray([[features[name] for name in FEATURES]], dtype=np.float32)
        (scores,) = self._session.run(["score"], {"features": row})
        return float(scores[0, 0])


def load() -> Model | None:
    """The model that the settings name, or none: the server then says that it is alive but not ready."""
    path = Path(os.environ["MODEL_PATH"])
    try:
        model = Model(path)
    except (OSError, KeyError, ValueError, onnxruntime.capi.onnxruntime_pybind11_state.Fail) as error:
        log.error("cannot load the model from %s: %s", path, error)
        return None
    MODEL_INFO.labels(model.version).set(1)
    log.info("serving version %s from %s", model.version, path)
    return model


app = FastAPI(title="fraud")
loaded = load()


def ready_model() -> Model:
    """The loaded model, else 503."""
    if loaded is None:
        raise HTTPException(503, "no model is loaded")
    return loaded


@app.get("/v2/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@app.get("/v2/health/ready")
@app.get("/v2/models/fraud/ready")
async def ready() -> dict[str, bool]:
    """Requests can be answered."""
    ready_model()
    return {"ready": True}


@app.get("/metrics")
async def metrics() -> Response:
    """Everything that Prometheus scrapes."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@app.post("/v2/models/fraud/infer")
async def infer(request: InferenceRequest) -> dict[str, Any]:
    """The score of one transaction."""
    started = time.perf_counter()
    code = "500"
    try:
        model = ready_model()
        score = model.score(read(request))
        code = "200"
    except HTTPException as refused:
        code = str(refused.status_code)
        raise
    finally:
        REQUESTS.labels(code).inc()
        LATENCY.observe(time.perf_counter() - started)
    SCORES.observe(score)
    return {
        "model_name": "fraud",
        "model_version": model.version,
        "outputs": [{"name": "score", "shape": [1], "datatype": "FP64", "data": [score]}],
        "parameters": {"degraded": False},
    }


def read(request: InferenceRequest) -> dict[str, float]:
    """The features of a request, each exactly once and finite, else 400."""
    features = {tensor.name: tensor.data[0] for tensor in request.inputs}
    missing = [name for name in FEATURES if name not in features]
    if missing or len(features) != len(request.inputs):
        raise HTTPException(
            400, f"each of {', '.join(FEATURES)} is needed once; missing: {', '.join(missing) or 'none'}"
        )
    if not all(math.isfinite(value) for value in features.values()):
        raise HTTPException(400, "every feature must be a finite number")
    return features
