"""Settings that only the parts themselves can judge: refused at the start, by name, for a person to read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.factory import create_app
from config.settings import SettingsError
from tests.support.api import settings_for

ROOT = Path(__file__).parents[1]


def problems_of(directory: Path, **changes: object) -> dict[str, list[str]]:
    with pytest.raises(SettingsError) as refused:
        create_app(settings_for(directory, f"sqlite:///{directory / 'x.db'}", **changes))
    return refused.value.problems


@pytest.mark.parametrize("document", ["", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AA"}]}'])
def test_jwks_file_when_it_holds_no_usable_key_then_the_start_says_so(tmp_path: Path, document: str):
    """It was a traceback in every command, `doctor` and `revoke` too."""
    keys = tmp_path / "bad.json"
    keys.write_text(document)
    assert "no key set" in problems_of(tmp_path, jwks_file=str(keys))["JWKS_FILE"][0]


def test_jwks_file_when_it_is_gone_since_then_the_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def gone(_path: Path) -> bytes:
        raise FileNotFoundError

    settings = settings_for(tmp_path, f"sqlite:///{tmp_path / 'x.db'}")
    monkeypatch.setattr(Path, "read_bytes", gone)
    with pytest.raises(SettingsError, match="JWKS_FILE: cannot be read"):
        create_app(settings)


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1?foo=bar", "valkey://127.0.0.1:1?socket_timeout=x"])
def test_shared_store_when_the_client_does_not_know_an_option_then_the_start_says_so(tmp_path: Path, url: str):
    """It was a 500 for each request with a proof."""
    told = problems_of(tmp_path, shared_store_url=url)
    assert "option" in told["SHARED_STORE_URL"][0]
    assert "secret" not in str(told)


@pytest.mark.parametrize("url", ["https://api.example.com/100%", "https://@api.example.com"])
def test_public_url_when_no_proof_could_name_it_then_the_start_says_so(tmp_path: Path, url: str):
    """T27: our fault is never the app's: every proof was refused for its htu."""
    assert "proof" in problems_of(tmp_path, public_url=url)["PUBLIC_URL"][0]


def test_entry_when_a_part_refuses_its_setting_then_one_line_and_no_traceback(tmp_path: Path):
    keys = tmp_path / "bad.json"
    keys.write_text("{}")
    environment = {
        "PATH": os.environ["PATH"],
        "TENANT_ISSUER": "https://tenant.example/",
        "API_AUDIENCE": "https://api.example",
        "JWKS_FILE": str(keys),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'x.db'}",
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "JWKS_FILE: holds no key set" in done.stderr
    assert "Traceback" not in done.stderr
