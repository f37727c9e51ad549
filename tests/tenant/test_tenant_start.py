"""D2, D3, D16: settings, registry, and the process itself."""

import signal
import subprocess
import sys
import time

import pytest
import requests

from tenant.registry import RegistryError, load
from tenant.serve import listen
from tenant.settings import HERE, SettingsError, from_environment, is_loopback

ROOT = HERE.parent
REGISTRY = HERE / "registry.toml"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "tenant.example", "10.0.0.1"])
def test_address_that_others_reach_is_refused_without_the_flag(host):
    """D16: it binds 127.0.0.1, refuses another address without a flag."""
    with pytest.raises(SettingsError, match="TENANT_ALLOW_PUBLIC=yes"):
        from_environment({"TENANT_HOST": host})
    with pytest.raises(SettingsError):
        from_environment({"TENANT_HOST": host, "TENANT_ALLOW_PUBLIC": "no"})
    assert from_environment({"TENANT_HOST": host, "TENANT_ALLOW_PUBLIC": "yes"}).host == host


def test_loopback_is_known_in_all_its_spellings():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"))


def test_settings_have_defaults_and_the_issuer_follows_the_port():
    """D2: issuer with a trailing slash, `http://127.0.0.1:9000/` by default."""
    assert from_environment({}).issuer == "http://127.0.0.1:9000/"
    assert from_environment({"TENANT_PORT": "9123", "TENANT_HOST": ""}).issuer == "http://127.0.0.1:9123/"


@pytest.mark.parametrize(
    "environment",
    [
        {"TENANT_ISSUER_URL": "http://127.0.0.1:9000"},
        {"TENANT_ISSUER_URL": "tenant/"},
        {"TENANT_PORT": "0"},
        {"TENANT_PORT": "many"},
        {"TENANT_PORT": "99999"},
    ],
)
def test_odd_settings_are_refused(environment):
    with pytest.raises(SettingsError):
        from_environment(environment)


def test_registry_is_seeded_and_the_api_identifier_can_be_overridden():
    """D3: seeded, so that no configuration is needed."""
    registry = load(REGISTRY)
    assert registry.default_api().identifier == "http://127.0.0.1:8000"
    assert {"postern-native", "postern-docs", "postern-m2m"} == set(registry.applications)
    assert registry.user_by_email(" ADA@example.org ").check_password("correct-horse")
    assert load(REGISTRY, "https://api.example").default_api().identifier == "https://api.example"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[apis]]", "[[apis]]\ncolour = 1", "unknown key colour"),
        ('dialect = "auth0"', 'dialect = "klingon"', "dialect is one of"),
        ('client_id = "postern-native"\n', "", "client_id"),
        ('type = "native"', 'type = "spa"', "native or m2m"),
        ('client_secret = "postern-m2m-development-secret"', "", "client_secret"),
        ("[claims]", "[klaims]", "unknown table klaims"),
        ("[[apis]]", "[[apis", "registry.toml"),
    ],
)
def test_registry_mistakes_are_named(tmp_path, old, new, message):
    path = tmp_path / "registry.toml"
    path.write_text(REGISTRY.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RegistryError, match=message):
        load(path)


def test_registry_without_an_api_or_a_file_is_refused(tmp_path):
    with pytest.raises(RegistryError):
        load(tmp_path / "none.toml")
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    with pytest.raises(RegistryError, match="no \\[\\[apis\\]\\]"):
        load(tmp_path / "empty.toml")


def _free_port() -> int:
    with listen("127.0.0.1", 0) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(("stop", "quiet"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_process_says_what_it_is_and_stops_cleanly(tmp_path, stop, quiet):
    """D16: development only, and says so in a banner."""
    port = _free_port()
    environment = {
        "TENANT_PORT": str(port),
        "TENANT_STATE_DIR": str(tmp_path),
        "TENANT_API_IDENTIFIER": "https://a.example",
    }
    command = [sys.executable, "-W", "error", "-m", "tenant", *(["--quiet"] if quiet else [])]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        minted = _when_ready(f"http://127.0.0.1:{port}/_dev/mint", process)
        process.send_signal(stop)
        out, err = process.communicate(timeout=20)
    assert minted["claims"]["aud"] == "https://a.example"
    assert minted["claims"]["iss"] == f"http://127.0.0.1:{port}/"
    assert process.returncode == 0, err
    assert out == ""
    assert ("DEVELOPMENT TENANT" in err) != quiet
    assert "Traceback" not in err
    assert not quiet or err == ""


@pytest.mark.parametrize("environment", [{"TENANT_HOST": "0.0.0.0"}, {"TENANT_REGISTRY": "/nowhere.toml"}])
def test_process_that_cannot_start_says_why_in_one_line(tmp_path, environment):
    environment |= {"TENANT_STATE_DIR": str(tmp_path), "TENANT_PORT": str(_free_port())}
    command = [sys.executable, "-m", "tenant"]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("tenant: ")
    assert done.stderr.count("\n") == 1


def _when_ready(url: str, process: subprocess.Popen) -> dict:
    for _ in range(400):
        assert process.poll() is None, process.stderr.read()
        try:
            return requests.post(url, json={}, timeout=10).json()
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the tenant did not come up")
