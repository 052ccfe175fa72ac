"""Answers how likely a parcel is late."""

import math

from fastapi import FastAPI

app = FastAPI()


@app.get("/v2/health/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/v2/models/late/infer")
async def infer(request: dict) -> dict:
    values = {tensor["name"]: tensor["data"][0] for tensor in request["inputs"]}
    score = 1 / (1 + math.exp(1.5 * values["hours_left"] / 24 - 0.02 * values["distance_km"]))
    return {"model_version": "1", "outputs": [{"name": "late", "shape": [1], "datatype": "FP64", "data": [score]}]}
