"""openid-client with bound tokens of oidc-provider against this API: others wrote both (tokens.md P1–P4)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.commands.db import upgrade
from dev.processes import Stack, free_port

ROOT = Path(__file__).parents[1]


def story_of(directory: Path, algorithm: str, **settings: str) -> dict[str, Any]:
    """Start the provider and the API, let the client tell its story, and give each step's facts by name."""
    issuer_port, api_port = free_port(), free_port()
    issuer, api = f"http://127.0.0.1:{issuer_port}", f"http://127.0.0.1:{api_port}"
    database = f"sqlite:///{directory / 'postern.db'}"
    upgrade(database)
    environment = {
        "PATH": os.environ["PATH"],
        "TENANT_ISSUER": issuer,
        "API_AUDIENCE": api,
        "PUBLIC_URL": api,
        "PORT": str(api_port),
        "DATABASE_URL": database,
        "WEB_CONCURRENCY": "2",
        "JWKS_SNAPSHOT_DIR": str(directory / "keys"),
        **settings,
    }
    with Stack() as stack:
        stack.start(
            "provider", ["node", "interop/provider.mjs", str(issuer_port), api], environment, directory / "p.log"
        )
        stack.wait_for("provider", f"{issuer}/.well-known/openid-configuration")
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn_conf.py", "wsgi:app"]
        stack.start("api", gunicorn, environment, directory / "api.log")
        stack.wait_for("api", f"{api}/livez")
        told = subprocess.run(
            ["node", "interop/dpop.mjs", issuer, api, algorithm],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    log = (directory / "api.log").read_text()
    assert told.returncode == 0, told.stdout + told.stderr + log
    assert '"error"' not in log.lower(), log
    return {facts.pop("step"): facts for facts in map(json.loads, told.stdout.splitlines())}


def refused_by(step: dict[str, Any], code: str, error: str) -> None:
    """Assert the refusal, and that exactly one challenge says so (T26)."""
    assert (step["status"], step["code"]) == (401, code)
    assert step["challenge"].count("error=") == 1
    assert f'error="{error}"' in step["challenge"]
    assert "Bearer " in step["challenge"]
    assert "DPoP " in step["challenge"]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "PS256"])
def test_bound_token_when_used_as_meant_200_and_in_no_other_way(tmp_path: Path, algorithm: str):
    """P1, P4: 200; the same proof again 401; the token as Bearer 401; with another key 401."""
    told = story_of(tmp_path, algorithm)
    assert told["token"]["token_type"] == "dpop"
    assert told["first"]["requests"] == [{"status": 200}]
    assert told["first"]["sub"] == "ada"
    assert told["second"]["requests"] == [{"status": 200}]
    refused_by(told["replayed"], "invalid_dpop_proof", "invalid_dpop_proof")
    refused_by(told["as_bearer"], "proof_required", "invalid_token")
    assert told["me"]["status"] == 200
    assert told["renewed"] == {"token_type": "dpop", "status": 200}
    assert told["stolen"]["status"] == 401
    assert 'error="invalid_dpop_proof"' in told["stolen"]["challenge"]


def test_nonce_when_demanded_then_the_clients_own_retry_gives_200(tmp_path: Path):
    """P3: `use_dpop_nonce` with the `DPoP-Nonce` field; a client that remembers it is not asked again."""
    told = story_of(tmp_path, "ES256", DPOP_NONCE="required", DPOP_NONCE_KEY="interop" * 8)
    assert told["first"]["requests"] == [{"status": 401, "code": "use_dpop_nonce"}, {"status": 200}]
    assert told["second"]["requests"] == [{"status": 200}]
    assert told["me"]["status"] == 200


def test_bound_tokens_when_required_then_the_same_client_needs_nothing_else(tmp_path: Path):
    """DESIGN: DPOP_MODE=required."""
    told = story_of(tmp_path, "ES256", DPOP_MODE="required")
    assert told["first"]["requests"] == [{"status": 200}]
    assert told["as_bearer"]["code"] == "proof_required"
    assert "Bearer" not in told["as_bearer"]["challenge"]
