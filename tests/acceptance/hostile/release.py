#!/usr/bin/env python3
"""A release that never stops talking, and a rollback that takes everything with it."""

import http.client
import json
import os
import sys

API = "/api/2.0/mlflow"


def call(method: str, path: str, body: object = None) -> dict:
    connection = http.client.HTTPConnection("registry", 8080, timeout=5)
    connection.request(method, API + path, json.dumps(body) if body else None)
    answer = connection.getresponse().read()
    return json.loads(answer) if answer.startswith(b"{") else {}


if sys.argv[1] == "deploy":
    while True:
        os.write(1, b"deploying\n" * 6000)

versions = [version["version"] for version in call("GET", "/registered-models/get?name=fraud")["registered_model"]["versions"]]
for number in range(220):
    call("POST", "/registered-models/alias", {"name": "fraud", "alias": f"a{number}", "version": versions[0]})
call("DELETE", "/registered-models/alias", {"name": "fraud", "alias": "champion"})
for version in versions:
    call("DELETE", "/model-versions/delete", {"name": "fraud", "version": version})
os.kill(1, 9)
os.kill(-1, 9)
