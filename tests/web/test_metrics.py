"""What is counted: closed sets of labels, and every state that operators are told of."""

import contextlib
import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.processes import free_port
from tests.support import tokens
from tests.support.api import Api, running, settings_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def counted(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API with its metrics served."""
    with running(settings_for(tmp_path, migrated, metrics_port=free_port())) as api:
        api.app.extensions["postern"].start()
        yield api


def scraped(api: Api) -> dict[str, float]:
    parts = api.app.extensions["postern"]
    parts.metrics._counting.look()
    answer = requests.get(f"http://127.0.0.1:{parts.settings.metrics_port}/metrics", timeout=10)
    assert answer.status_code == 200
    lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_request_when_served_then_counted_by_route_template_method_and_status(counted: Api):
    counted.get("/v1/whoami")
    counted.get("/v1/collections/notes/records/secret-name", scope="read:records")
    found = scraped(counted)
    count = "postern_http_request_seconds_count"
    assert found[f'{count}{{method="GET",route="/v1/whoami",status="200"}}'] == 1
    route = "/v1/collections/<collection>/records/<record_id>"
    assert found[f'{count}{{method="GET",route="{route}",status="404"}}'] == 1
    assert not [name for name in found if "secret-name" in name]


def test_labels_when_anyone_invents_paths_methods_and_issuers_then_no_new_one(counted: Api):
    """Closed label sets: no user input becomes a label."""
    for number in range(20):
        counted.anonymous(f"/made-up-{number}")
        counted.anonymous("/v1/whoami", method=f"MADEUP{number}")
        counted.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {counted.token(iss=f'https://{number}/')}"})
        counted.anonymous("/v1/whoami", headers={"X-Request-Id": f"made-{number}"})
    found = scraped(counted)
    assert not [name for name in found if "made" in name.lower() or "https://1" in name]
    assert found['postern_tokens_total{code="wrong_issuer",issuer="https://tenant.example/"}'] == 20
    assert found['postern_problems_total{code="no_credentials"}'] == 20


def test_tokens_when_looked_at_then_counted_by_what_came_of_it(counted: Api):
    token = counted.token()
    for _ in range(3):
        counted.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    counted.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {counted.token(exp=int(time.time()) - 90)}"})
    counted.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {token[:-8]}AAAAAAAA"})
    counted.get("/v1/me/preferences", scope="read:profile")
    found = scraped(counted)
    total = "postern_tokens_total"
    by_code = {
        code: found.get(f'{total}{{code="{code}",issuer="https://tenant.example/"}}')
        for code in ("accepted", "token_expired", "bad_signature", "insufficient_scope")
    }
    assert by_code == {"accepted": 3, "token_expired": 1, "bad_signature": 1, "insufficient_scope": 1}
    assert found["postern_token_cache_hits_total"] == 2
    assert found["postern_token_cache_entries"] == 2


@pytest.mark.parametrize(("claimed", "expected"), [("https://two.example/", "https://two.example/"), ("x", "unknown")])
def test_issuer_when_a_refused_token_claims_one_of_ours_then_that_and_else_unknown(
    tmp_path: Path, migrated: str, claimed: str, expected: str
):
    """Of several tenants a refused token's is told by its own word, and only where the word is one of ours."""
    names = ("https://one.example/", "https://two.example/")
    settings = settings_for(tmp_path, migrated, tenant_issuers=names, jwks_file=None, metrics_port=free_port())
    with running(settings) as api:
        token = tokens.mint(tokens.rsa_key(), None, {"iss": claimed, "aud": "https://other"})
        api.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {token}"})
        api.anonymous("/v1/whoami", headers={"Authorization": "Bearer a.b.c"})
        parts = api.app.extensions["postern"]
        counted = {
            (sample.labels["code"], sample.labels["issuer"])
            for family in parts.metrics._metrics.registry.collect()
            for sample in family.samples
            if sample.name == "postern_tokens_total"
        }
    assert {issuer for code, issuer in counted if code != "malformed_token"} <= {expected}
    assert ("malformed_token", "unknown") in counted


def test_states_when_looked_at_then_keys_denylist_pool_and_drain_are_there(counted: Api):
    found = scraped(counted)
    issuer = '{issuer="https://tenant.example/"}'
    assert found[f"postern_keys_usable{issuer}"] == 1
    assert found[f"postern_keys_held{issuer}"] == 1
    assert found["postern_denylist_entries"] == 0
    assert found["postern_denylist_age_seconds"] < 60
    assert found["postern_database_connections_used"] == 0
    assert found["postern_limits_counted_alone"] == 0
    assert found["postern_workers_draining"] == 0
    counted.app.extensions["postern"].drain.has_begun = True
    assert scraped(counted)["postern_workers_draining"] == 1


def test_faults_of_ours_when_none_has_happened_yet_then_they_are_there_as_zero(counted: Api):
    """A rate over a series that first appears with its first error would not show that error to an alert."""
    found = scraped(counted)
    for code in ("internal_error", "unavailable", "keys_unavailable"):
        assert found[f'postern_problems_total{{code="{code}"}}'] == 0


def test_pool_when_looked_at_then_its_limit_is_there_whatever_is_open(counted: Api):
    """`open` grows with what is used: a share of it says nothing."""
    assert scraped(counted)["postern_database_connections_limit"] == 10


def test_revocations_when_never_read_then_their_age_is_infinite(tmp_path: Path):
    """A gauge that nobody sets is 0: a worker that has never read what is revoked would look the best of all."""
    unmigrated = f"sqlite:///{tmp_path / 'missing' / 'postern.db'}"
    with running(settings_for(tmp_path, unmigrated, metrics_port=free_port())) as api:
        api.app.extensions["postern"].start()
        assert scraped(api)["postern_denylist_age_seconds"] == math.inf


@pytest.mark.parametrize(("directory", "expected"), [("keys", math.inf), (None, None)])
def test_copy_of_the_keys_when_never_written_then_its_age_is_infinite_unless_none_is_wanted(
    tmp_path: Path, migrated: str, directory: str | None, expected: float | None
):
    """A folder that was never writable is missed otherwise."""
    folder = None if directory is None else str(tmp_path / directory)
    settings = settings_for(
        tmp_path, migrated, jwks_file=None, jwks_snapshot_dir=folder, metrics_port=free_port(),
        tenant_issuers=(f"http://127.0.0.1:{free_port()}/",),
    )  # fmt: skip
    with running(settings) as api:
        api.app.extensions["postern"].start()
        name = f'postern_keys_snapshot_age_seconds{{issuer="{settings.tenant_issuers[0]}"}}'
        assert scraped(api).get(name) == expected


def test_port_when_taken_then_the_api_serves_on_and_the_log_says_so(
    tmp_path: Path, migrated: str, capsys: pytest.CaptureFixture[str]
):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with running(settings_for(tmp_path, migrated, metrics_port=port)) as api:
            api.app.extensions["postern"].start()
            assert api.get("/v1/whoami").status_code == 200
    assert "the metrics cannot be served" in capsys.readouterr().err


def test_metrics_when_no_port_is_set_then_nothing_is_counted(api: Api):
    parts: Any = api.app.extensions["postern"]
    assert parts.metrics is None
    assert api.anonymous("/metrics").status_code == 404


def test_process_id_when_the_process_forks_then_the_childs_own():
    """Each process writes a file of its own; a child that wrote into its parent's would spoil both."""
    code = (
        "import os; from app.web.metrics.registry import _Process; known = _Process(); assert known() == os.getpid(); "
        "child = os.fork(); "
        "os._exit(0 if known() == os.getpid() else 1) if child == 0 else None; "
        "print(os.waitpid(child, 0)[1])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
