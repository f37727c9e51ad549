"""Slips that operators make: each is refused at the start, by name, or means what it should."""

from pathlib import Path

import pytest

from tests.config.test_settings import problems_of, settings_from


@pytest.mark.parametrize("domain", ["https://example.eu.auth0.com", "example.eu.auth0.com/"])
def test_auth0_domain_when_it_is_no_bare_host_then_refused(monkeypatch: pytest.MonkeyPatch, domain: str):
    """`AUTH0_DOMAIN=example.eu.auth0.com` is a shorthand; a scheme or slash made an issuer that no token names."""
    problems = problems_of(monkeypatch, TENANT_ISSUER="", AUTH0_DOMAIN=domain)
    assert "AUTH0_DOMAIN" in problems["TENANT_ISSUER"][0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "https://bücher.example"),  # every 401 became a 500: a challenge holds ASCII only
        ("PUBLIC_URL", "https://api example.com"),
        ("TENANT_ISSUER", "https://user:password@example.com/"),
        ("TENANT_ISSUER", "https://bücher.example/"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("PORT", "70000"),
        ("DELETION_ACR", "höher"),  # every step-up became a 500: a challenge holds ASCII only
        ("DELETION_ACR", "mfa strong"),  # two words, which no acr equals: a step-up without end
        ("DELETION_MAX_AGE_SECONDS", "0"),  # every login is older: a step-up without end
        ("DELETION_MAX_AGE_SECONDS", "59"),
        ("JWKS_FILE", "/dev"),
        ("DPOP_NONCE", "always"),
        ("DPOP_NONCE_KEY", "short"),
        ("DPOP_MODE", "on"),
        ("SHARED_STORE_URL", "http://127.0.0.1"),
        ("ACCOUNT_DELETION_GRACE_DAYS", "31"),
    ],
)
def test_value_when_it_could_only_fail_later_then_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    """Start-up refuses, all at once: a missing or unknown value."""
    assert name in problems_of(monkeypatch, **{name: value})


def test_file_when_it_cannot_be_read_then_every_such_name_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`*_FILE` variants: an absent file was a traceback of the library, and only the first one was told."""
    problems = problems_of(monkeypatch, DATABASE_URL_FILE="/nowhere/at/all", API_AUDIENCE_FILE=str(tmp_path))
    assert set(problems) == {"DATABASE_URL_FILE", "API_AUDIENCE_FILE"}


def test_list_when_there_are_blanks_around_its_commas_then_they_mean_nothing(monkeypatch: pytest.MonkeyPatch):
    settings = settings_from(monkeypatch, TENANT_ISSUER="https://a.example/, https://b.example/", API_AUDIENCE="x , y")
    assert settings.tenant_issuers == ("https://a.example/", "https://b.example/")
    assert settings.api_audiences == ("x", "y")
