"""A version of the model in memory: loaded, warm, and able to answer without the feature store."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime

from registry import Artifact

# The order in which the model was trained.
FEATURES = ("amount", "hour", "distance_km", "dispute_rate", "account_age_days")


class ModelError(Exception):
    """A version cannot be loaded."""


class Model:
    """One version."""

    def __init__(self, artifact: Artifact) -> None:
        self.version = artifact.version
        options = onnxruntime.SessionOptions()
        # One thread a request: the server's own concurrency is enough for a model this small.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            metadata = json.loads(artifact.metadata)
            self.defaults = {name: float(value) for name, value in metadata["defaults"].items()}
            self.score_distribution = {bound: float(share) for bound, share in metadata["score_distribution"].items()}
            self._session = onnxruntime.InferenceSession(artifact.model, options, providers=["CPUExecutionProvider"])
            self.score(dict.fromkeys(FEATURES, 1.0))
        # The runtime's errors have no common class of their own.
        except Exception as error:
            raise ModelError(f"version {artifact.version} cannot be loaded: {error}") from error

    def score(self, features: dict[str, float]) -> float:
        """The probability of fraud."""
        row = np.asarray([[features[name] for name in FEATURES]], dtype=np.float32)
        (scores,) = self._session.run(["score"], {"features": row})
        return float(scores[0, 0])
