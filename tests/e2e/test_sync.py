"""The batch through gunicorn: its own limit of bytes counts at the connection too, and on both sides."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer

MAX_BATCH_BYTES = 2_097_152
SCOPE = "read:records write:records"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GunicornServer]:
    """The API with usual bodies of 1 000 bytes at most, and batches of 2 MiB."""
    settings = {"WEB_CONCURRENCY": "1", "MAX_BODY_BYTES": "1000", "MAX_BATCH_BYTES": str(MAX_BATCH_BYTES)}
    with GunicornServer.without_tenant(tmp_path, **settings).running() as server:
        yield server


def body_of(size: int) -> bytes:
    """A batch of just so many bytes."""
    operations = [
        {"op": "put", "collection": "notes", "id": f"r{number}", "data": {"t": "x" * 65_000}} for number in range(31)
    ]
    body = json.dumps({"operations": operations}).encode()
    assert len(body) < size
    return body + b" " * (size - len(body))


def test_batch_when_as_large_as_allowed_then_stored_and_with_one_byte_more_413(server: GunicornServer):
    """§5: "request 1 MiB, batch 2 MiB": a connection that is bounded by the smaller one would cut the batch off."""
    now = int(time.time())
    token = tokens.mint(
        tokens.rsa_key(), None, {"iat": now, "exp": now + 600, "aud": AUDIENCE, "scope": SCOPE}
    )  # fmt: skip

    def send(body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return requests.post(f"{server.url}/v1/batch", data=body, headers=headers, timeout=60)

    refused = send(body_of(MAX_BATCH_BYTES + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert server.get(token, "/v1/changes").json()["changes"] == []
    in_chunks = send(iter([body_of(MAX_BATCH_BYTES), b" "]))
    assert (in_chunks.status_code, in_chunks.json()["code"]) == (413, "payload_too_large")
    taken = send(body_of(MAX_BATCH_BYTES))
    assert [result["status"] for result in taken.json()["results"]] == [201] * 31
    assert send(iter([body_of(MAX_BATCH_BYTES)])).status_code == 200
    alone = server.request("PUT", "/v1/collections/notes/records/a", token, json={"data": {"t": "x" * 1_000}})
    assert alone.status_code == 413
