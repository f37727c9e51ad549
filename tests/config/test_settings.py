"""Settings: complete or dead, every problem at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.users.merge_patch import MAX_DEPTH
from config.checks import MAX_JSON_DEPTH
from config.settings import Settings, SettingsError

GOOD = {"TENANT_ISSUER": "https://example.eu.auth0.com/", "API_AUDIENCE": "https://api.example.com"}


def settings_from(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in (GOOD | environment).items():
        monkeypatch.setenv(name, value)
    return Settings.from_env()


def problems_of(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, list[str]]:
    with pytest.raises(SettingsError) as caught:
        settings_from(monkeypatch, **environment)
    return caught.value.problems


def test_from_env_when_only_the_two_required_are_set_then_the_documented_defaults(monkeypatch):
    settings = settings_from(monkeypatch)
    assert settings.tenant_issuers == ("https://example.eu.auth0.com/",)
    assert settings.api_audiences == ("https://api.example.com",)
    assert settings.token_algorithms == ("RS256",)
    assert (settings.clock_skew_seconds, settings.max_token_bytes, settings.token_cache_size) == (30, 16384, 10000)
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.web_concurrency >= 1


def test_from_env_when_nothing_is_set_then_both_required_are_named(monkeypatch):
    with pytest.raises(SettingsError) as caught:
        Settings.from_env()
    assert set(caught.value.problems) == {"TENANT_ISSUER", "API_AUDIENCE"}


def test_from_env_when_much_is_wrong_then_all_of_it_is_told_at_once(monkeypatch):
    found = problems_of(
        monkeypatch,
        TENANT_ISSUER="http://example.com/",
        CLOCK_SKEW_SECONDS="121",
        TOKEN_ALGORITHMS="none",
        PORT="eighty",
        LOG_LEVEL="loud",
        JWKS_MIN_TTL_SECONDS="1000",
        WEB_THREADS="0",
    )
    assert set(found) == {
        "TENANT_ISSUER",
        "CLOCK_SKEW_SECONDS",
        "TOKEN_ALGORITHMS",
        "PORT",
        "LOG_LEVEL",
        "JWKS_MIN_TTL_SECONDS",
        "WEB_THREADS",
    }


def test_from_env_when_auth0_domain_then_it_is_a_shorthand_for_the_issuer(monkeypatch):
    monkeypatch.setenv("AUTH0_DOMAIN", "example.eu.auth0.com")
    monkeypatch.setenv("API_AUDIENCE", "https://api.example.com")
    assert Settings.from_env().tenant_issuers == ("https://example.eu.auth0.com/",)


def test_from_env_when_several_issuers_then_all_names_of_the_tenant_in_order(monkeypatch):
    settings = settings_from(monkeypatch, TENANT_ISSUER="https://login.example.com/,https://example.eu.auth0.com/")
    assert settings.tenant_issuers == ("https://login.example.com/", "https://example.eu.auth0.com/")


def test_from_env_when_a_secret_is_in_a_file_then_it_is_read_without_its_line_end(monkeypatch, tmp_path: Path):
    secret = tmp_path / "database-url"
    secret.write_text("postgresql://app:secret@db/postern\n")
    assert settings_from(monkeypatch, DATABASE_URL_FILE=str(secret)).database_url.endswith("@db/postern")


def test_settings_error_when_the_database_url_is_wrong_then_its_password_is_not_shown(monkeypatch):
    with pytest.raises(SettingsError) as caught:
        settings_from(monkeypatch, DATABASE_URL="mysql://app:hunter2@db/postern")
    assert "DATABASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS384", "HS512", "RS1", ""])
def test_algorithms_when_none_or_symmetric_then_refused(monkeypatch, algorithm):
    """T7: `none` and HS* can never be configured: start-up failure."""
    assert "TOKEN_ALGORITHMS" in problems_of(monkeypatch, TOKEN_ALGORITHMS=f"RS256,{algorithm}")


@pytest.mark.parametrize("audience", ["https://example.eu.auth0.com/", "https://example.eu.auth0.com/userinfo"])
def test_audience_when_it_is_the_issuer_or_its_userinfo_then_refused(monkeypatch, audience):
    """Start-up refuses an audience equal to the issuer or its `/userinfo`."""
    assert "API_AUDIENCE" in problems_of(monkeypatch, API_AUDIENCE=audience)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "ftp://example.com/",
        "example.com",
        "https://example.com/?a=b",
        "https://example.com/#a",
        "https://a.example/,https://a.example/",
        "http://[::1",
        "https://example.com:port/",
    ],
)
def test_issuer_when_not_an_https_url_then_refused(monkeypatch, issuer):
    """Plain-http issuers are refused unless their host is a loopback address."""
    assert "TENANT_ISSUER" in problems_of(monkeypatch, TENANT_ISSUER=issuer)


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:9000/", "http://localhost:9000", "http://[::1]:9000/"])
def test_issuer_when_plain_http_on_loopback_then_taken(monkeypatch, issuer):
    assert settings_from(monkeypatch, TENANT_ISSUER=issuer).tenant_issuers == (issuer,)


@pytest.mark.parametrize(("skew", "refused"), [("120", False), ("121", True), ("0", False), ("-1", True)])
def test_skew_when_over_120_seconds_then_refused(monkeypatch, skew, refused):
    """Start-up refuses a skew over 120."""
    if refused:
        assert "CLOCK_SKEW_SECONDS" in problems_of(monkeypatch, CLOCK_SKEW_SECONDS=skew)
    else:
        assert settings_from(monkeypatch, CLOCK_SKEW_SECONDS=skew).clock_skew_seconds == int(skew)


def test_json_depth_when_deeper_than_a_patch_is_merged_then_refused(monkeypatch):
    """PUT would take what PATCH could not change."""
    assert MAX_JSON_DEPTH == MAX_DEPTH
    assert settings_from(monkeypatch, MAX_JSON_DEPTH="64").max_json_depth == 64
    assert set(problems_of(monkeypatch, MAX_JSON_DEPTH="65")) == {"MAX_JSON_DEPTH"}


def test_database_when_sqlite_and_the_host_is_not_loopback_then_refused_unless_allowed(monkeypatch):
    """SQLite is refused with a non-loopback HOST unless ALLOW_SQLITE=true."""
    assert "DATABASE_URL" in problems_of(monkeypatch, HOST="0.0.0.0")
    assert settings_from(monkeypatch, HOST="0.0.0.0", ALLOW_SQLITE="true").allow_sqlite


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "api.example.com"),
        ("PUBLIC_URL", "https://api.example.com/?x"),
        ("PUBLIC_URL", 'https://api.example.com/"'),
        ("JWKS_ALLOWED_ORIGINS", "http://keys.example.com"),
        ("JWKS_ALLOWED_ORIGINS", "https://keys.example.com/path"),
        ("TOKEN_PROFILE", "strict"),
        ("LOG_FORMAT", "xml"),
        ("API_AUDIENCE", "two words"),
        ("ALLOW_SQLITE", "perhaps"),
        ("MAX_TOKEN_BYTES", "0"),
        ("TOKEN_ALGORITHMS", ","),
    ],
)
def test_value_when_unknown_or_malformed_then_the_setting_is_named(monkeypatch, name, value):
    assert name in problems_of(monkeypatch, **{name: value})


def test_jwks_file_when_several_issuers_then_refused(monkeypatch):
    """JWKS_FILE is a static key set for a single issuer."""
    issuers = "https://a.example/,https://b.example/"
    assert "JWKS_FILE" in problems_of(monkeypatch, TENANT_ISSUER=issuers, JWKS_FILE="keys.json")


def test_public_url_when_not_set_then_it_follows_the_port(monkeypatch):
    assert settings_from(monkeypatch, PORT="8123").public_url == "http://127.0.0.1:8123"


def test_realm_is_the_host_of_the_public_url(monkeypatch):
    assert settings_from(monkeypatch, PUBLIC_URL="https://api.example.com/base").realm == "api.example.com"


@pytest.mark.parametrize(
    "command", [["flask", "--app", "wsgi", "db", "current"], ["gunicorn", "-c", "config/gunicorn_conf.py", "wsgi:app"]]
)
def test_start_when_settings_are_missing_then_the_operator_reads_all_names_and_no_traceback(command: list[str]):
    """Complete or dead: refuses to start, with all problems at once, by name."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "CLOCK_SKEW_SECONDS": "900"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    for name in ("TENANT_ISSUER", "API_AUDIENCE", "CLOCK_SKEW_SECONDS"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr
