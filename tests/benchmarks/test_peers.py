"""What is compared must do the same: the peers answer as the API does, to the tokens that the benchmark signs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.factory import create_app
from benchmarks import peers
from benchmarks.credentials import AUDIENCE, ISSUER, Credentials, credentials, key_server, sign
from benchmarks.rounds import stable
from config.settings import Settings


@pytest.fixture(scope="module")
def signed() -> Credentials:
    return sign(2)


@pytest.fixture
def api(tmp_path: Path, signed: Credentials) -> Iterator[Flask]:
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(signed.key_set))
    settings = Settings(
        tenant_issuers=(ISSUER,),
        api_audiences=(AUDIENCE,),
        jwks_file=str(keys),
        database_url=f"sqlite:///{tmp_path / 'bench.db'}",
    )
    app = create_app(settings)
    yield app
    app.extensions["postern"].stop()


def answer(app: Flask, token: str) -> tuple[int, dict[str, object]]:
    response = app.test_client().get("/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    return response.status_code, stable(response.get_json())


def test_peers_when_the_token_is_good_answer_the_same_json(api: Flask, signed: Credentials) -> None:
    bare = peers.bare(f"auth0|{0:024x}", signed.issued_at, signed.expires_at)
    expected = answer(api, signed.tokens[0])

    assert expected[0] == 200
    assert answer(bare, signed.tokens[0]) == expected
    with key_server(signed.key_set) as keys_url:
        assert answer(peers.quickstart(keys_url), signed.tokens[0]) == expected


def test_forged_tokens_when_sent_are_refused_for_their_signature(api: Flask, signed: Credentials) -> None:
    status, document = answer(api, signed.forged(1)[0])

    assert (status, document["code"]) == (401, "bad_signature")
    with key_server(signed.key_set) as keys_url:
        assert answer(peers.quickstart(keys_url), signed.forged(1)[0])[0] == 401


def test_credentials_when_kept_from_the_last_time_are_used_again(tmp_path: Path) -> None:
    first = credentials(tmp_path, 2)

    assert credentials(tmp_path, 2) == first
    assert credentials(tmp_path, 1).tokens == first.tokens[:1]
    assert credentials(tmp_path, 3).key_set != first.key_set
