"""What is compared must do the same: the peers answer as the API does, to the tokens that the benchmark signs."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey
from flask import Flask

from app.db import Database
from app.factory import create_app
from app.stores.revocations import Revocations
from benchmarks import contenders, denylist, flood, in_process, peers, possession, report, store, validators
from benchmarks.credentials import AUDIENCE, ISSUER, Credentials, credentials, key_server, sign
from benchmarks.figures import Sample
from benchmarks.rounds import VARIANTS, Measured, stable
from benchmarks.servers import Memory
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


def test_authlib_when_the_token_is_good_then_the_same_json(api: Flask, signed: Credentials) -> None:
    """The other validators are installed by `make bench` alone, which compares every answer before it measures."""
    with key_server(signed.key_set) as keys_url:
        peer = validators.authlib(keys_url)
        assert answer(peer, signed.tokens[0]) == answer(api, signed.tokens[0])
        assert peer.test_client().get("/v1/whoami").status_code == 401


def test_store_when_started_then_it_answers_and_is_gone_afterwards(tmp_path: Path) -> None:
    with store.valkey(tmp_path) as url:
        client = valkey.from_url(url)
        assert client.ping()
        client.close()
    assert not Path(url.removeprefix("unix://")).exists()


def test_flood_when_measured_then_no_good_request_failed(tmp_path: Path, signed: Credentials, monkeypatch) -> None:
    """K7: made-up kids neither storm the tenant nor block good requests; a good one that fails ends the measurement."""
    monkeypatch.setattr("benchmarks.environments.production", lambda _directory: Path(sys.executable).parent)
    found = flood.measure(signed, tmp_path, 40)
    assert (found.made_up, found.good >= 10, found.fetches <= 6) == (40, True, True)
    assert found.alone_median > 0


def test_settings_when_made_then_the_denylist_is_not_empty(tmp_path: Path, signed: Credentials) -> None:
    database = Database(contenders.settings(signed, tmp_path)["DATABASE_URL"])
    assert len(list(Revocations(database).entries(now=time.time()))) == 100
    database.dispose()


def test_explained_when_a_variant_is_measured_then_the_table_says_what_it_is() -> None:
    assert set(report._EXPLAINED) == set(VARIANTS)


@pytest.mark.parametrize("with_node", [True, False])
def test_part_when_there_is_no_node_then_the_document_says_so(with_node: bool) -> None:
    sample = Sample(300.0, 1000.0, (0.001, 0.002))
    one = {name: sample for name in VARIANTS if with_node or name != contenders.EXPRESS}
    held = Memory(80.0, None, 60.0)
    measured = Measured((one,), {contenders.HOT: held}, held, held)
    core = report.Core(
        in_process.InProcess(1, 2, 1, 2), (denylist.DenylistCost(0, 0.1),), possession.Possession(1, 2, 1, 1),
        flood.Flood(40, 10, 1, 1, 2, 1, 2),
    )  # fmt: skip
    text = report.part(measured, core, 100)
    assert ("there is no Node" in text) is not with_node
    assert "| idle, after one request | 80.0 | – | 60.0 |" in text
    assert (
        "| `GET /v1/whoami`, always the same token | 300 | 1.00 × (1.00–1.00) | 1000 | 1.00 | 2.00 (1.00) | 80 |"
        in text
    )
