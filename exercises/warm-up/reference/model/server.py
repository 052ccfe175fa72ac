"""Answers how likely a parcel is late, by the Open Inference Protocol, version 2."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "late"
VERSION = "1"
PORT = 8000


def late(distance_km: float, hours_left: float) -> float:
    """The probability that a parcel is late."""
    days_left = hours_left / 24
    return 1 / (1 + math.exp(1.5 * days_left - 0.02 * distance_km))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The protocol's answer to its request."""
    features = {tensor["name"]: float(tensor["data"][0]) for tensor in request["inputs"]}
    score = late(features["distance_km"], features["hours_left"])
    output = {"name": "late", "shape": [1], "datatype": "FP64", "data": [score]}
    return {"model_name": NAME, "model_version": VERSION, "outputs": [output]}


class Handler(BaseHTTPRequestHandler):
    """One connection, kept for more than one request."""

    protocol_version = "HTTP/1.1"
    # Small answers leave at once, whatever the peer does with the last one.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Health: a server that answers is ready."""
        known = self.path in {"/v2/health/live", "/v2/health/ready"}
        self.reply(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND, {"ready": known})

    def do_POST(self) -> None:
        """Inference."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != f"/v2/models/{NAME}/infer":
            self.reply(HTTPStatus.NOT_FOUND, {"error": "there is no such model"})
            return
        try:
            self.reply(HTTPStatus.OK, answer(json.loads(body)))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            self.reply(HTTPStatus.BAD_REQUEST, {"error": f"not a request of the protocol: {error!r}"})

    def reply(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        """Answers with JSON."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not logged one by one."""


class Server(ThreadingHTTPServer):
    """One thread a connection; as many as arrive at once may wait for theirs."""

    request_queue_size = 128


if __name__ == "__main__":
    Server(("0.0.0.0", PORT), Handler).serve_forever()  # noqa: S104  # reached by its container's address
