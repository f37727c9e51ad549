"""What the API says about itself: index, metadata, OpenAPI, health, request log."""

import json

import pytest

from app.web.catalogue import PROBLEMS
from app.web.scopes import SCOPES
from tests.support.api import Api, running, settings_for
from tests.support.published import published


def test_index_when_anyone_asks_then_version_limits_capabilities_and_links(api: Api):
    """U8: `GET /v1` (no token) gives version, limits, capabilities and links to documentation."""
    document = api.anonymous("/v1").json
    assert document["limits"]["max_token_bytes"] == 16384
    # §5: "all shown in `GET /v1`".
    assert {"requests_per_minute", "writes_per_minute", "failures_per_minute"} <= set(document["limits"])
    assert document["capabilities"]["scopes"] == SCOPES
    for link in document["links"].values():
        # 405: it takes POST alone.
        assert api.anonymous(link.removeprefix("https://api.example")).status_code in {200, 401, 405}


def test_metadata_when_asked_then_resource_is_the_public_url_byte_for_byte(api: Api):
    """RFC 9728: `resource` is `PUBLIC_URL`, byte for byte."""
    document = api.anonymous("/.well-known/oauth-protected-resource").json
    assert document["resource"] == "https://api.example"
    assert document["authorization_servers"] == ["https://tenant.example/"]
    assert document["scopes_supported"] == list(SCOPES)
    assert document["bearer_methods_supported"] == ["header"]


def test_metadata_when_the_public_url_has_a_path_then_it_stands_there_too(tmp_path, migrated):
    """RFC 9728 §3.1: where `resource` has a path, the document stands at the well-known place + path."""
    with running(settings_for(tmp_path, migrated, public_url="https://example.org/api")) as api:
        document = api.anonymous("/.well-known/oauth-protected-resource/api").json
        assert document["resource"] == "https://example.org/api"
        challenge = api.anonymous("/v1/me").headers["WWW-Authenticate"]
        assert "https://example.org/.well-known/oauth-protected-resource/api" in challenge


def test_openapi_when_served_then_every_operation_has_id_summary_security_and_problems(api: Api):
    """Every operation has an id, its scopes and its problem codes; OpenAPI 3.0.3."""
    document = api.anonymous("/v1/openapi.json").json
    assert document["openapi"] == "3.0.3"
    operations = [operation for _, _, operation in published(api).operations()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert {"getMe", "patchMe", "whoAmI", "getIndex", "livez", "readyz"} <= set(ids)
    for operation in operations:
        assert operation["summary"]
        assert "security" in operation
        assert {"200", "201", "202", "204"} & set(operation["responses"])
    patch = published(api).operation("patch", "/v1/me")
    wanted = ["write:profile"]
    assert patch["security"] == [{"tenant": wanted, "bearer": []}, {"tenant": wanted, "dpop": []}]
    assert {"400", "401", "403", "412", "413", "415", "422", "503"} <= set(patch["responses"])
    assert "token_expired" in patch["responses"]["401"]["description"]
    # T24: a client that is revoked is refused wherever a token is looked at.
    assert all(("client_revoked" in str(o["responses"].get("403"))) == bool(o["security"]) for o in operations)
    assert document["paths"]["/v1"]["get"]["security"] == []
    named = {
        word for o in operations for r in o["responses"].values() for word in r["description"].split() if "_" in word
    }
    assert named <= set(PROBLEMS)


def test_openapi_when_references_are_followed_then_all_are_there(api: Api):
    document = api.anonymous("/v1/openapi.json").json
    references = {part.split('"')[0] for part in json.dumps(document).split('"$ref": "')[1:]}
    assert references
    for reference in references:
        found = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def test_readyz_when_keys_and_database_are_there_then_200(api: Api):
    """K10: `/livez` depends on nothing."""
    ready = api.anonymous("/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "ready")
    assert ready.json["checks"]["keys"]["issuers"][0]["issuer"] == "https://tenant.example/"
    assert api.anonymous("/livez").json == {"status": "alive"}


def test_readyz_when_migrations_are_missing_then_503_says_the_command(tmp_path):
    with running(settings_for(tmp_path, f"sqlite:///{tmp_path / 'empty.db'}")) as api:
        ready = api.anonymous("/readyz")
        assert ready.status_code == 503
        assert "flask --app wsgi db upgrade" in ready.json["checks"]["database"]["error"]


@pytest.mark.parametrize("given", ["abc-123", "0af7651916cd43dd8448eb211c80319c"])
def test_request_id_when_sane_then_taken_over(api: Api, given):
    """Request id in, out and in every log line."""
    answer = api.anonymous("/v1/me", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == answer.json["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "<script>"])
def test_request_id_when_odd_then_a_fresh_one(api: Api, given):
    answer = api.anonymous("/v1", headers={"X-Request-Id": given})
    assert len(answer.headers["X-Request-Id"]) == 32


def test_log_when_requests_are_served_then_one_line_each_without_token_claims_or_query(api: Api, capsys):
    """One structured line per request; never a token in a log."""
    token = api.token(email="secret@example.org")
    api.get("/v1/me?fields=email", headers={"Authorization": f"Bearer {token}"})
    api.get("/v1/me?fields=email", headers={"Authorization": "Bearer " + token[:-4] + "AAAA"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["route"], line["status"], line.get("code")) for line in requests] == [
        ("/v1/me", 200, None),
        ("/v1/me", 401, "bad_signature"),
    ]
    assert requests[0]["client_id"]
    assert requests[0]["kid"] == "rsa-1"
    assert all(line["request_id"] and line["timestamp"] and line["level"] for line in lines)
    text = json.dumps(lines)
    for secret in (token, token.split(".")[2], "secret@example.org", "fields", api.subject):
        assert secret not in text


def test_log_when_a_room_writes_during_a_request_then_the_line_names_it(api: Api, capsys):
    api.anonymous("/broken", headers={"X-Request-Id": "find-me"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["request_id"] for line in lines] == ["find-me", "find-me"]
    assert "RuntimeError" in lines[0]["exception"]
    assert [line["level"] for line in lines] == ["error", "error"]


def test_log_when_for_people_then_readable_lines(tmp_path, migrated, capsys):
    with running(settings_for(tmp_path, migrated, log_format="console")) as api:
        api.anonymous("/v1")
    assert "request" in capsys.readouterr().err


def test_answers_when_any_then_the_security_fields(api: Api):
    for path in ("/v1", "/v1/me", "/problems/not_found", "/nothing"):
        fields = api.anonymous(path).headers
        assert fields["X-Content-Type-Options"] == "nosniff"
        assert fields["Content-Security-Policy"].startswith("default-src 'none'")
