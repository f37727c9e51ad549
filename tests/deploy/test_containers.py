"""The image, and the compose file that joins it to others: what was seen to go wrong there goes wrong no more."""

import ast
import contextlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from werkzeug.serving import make_server

from app.commands.db import upgrade
from config.settings import Settings
from dev.processes import free_port
from tests.support.api import running, settings_for

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = re.findall(r"^COPY (?!--from)(\S+) \S+$", DOCKERFILE, re.MULTILINE)
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("postern:")]
SERVED = ["api-1", "api-2"]
EXAMPLES = ["example.env", "development.env"]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def example(name: str) -> dict[str, str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled_in(text: str, given: dict[str, str]) -> str:
    """What compose makes of it."""
    return VARIABLE.sub(lambda found: given.get(found[1]) or (found[3] if found[2] == "-" else ""), text)


def of_the_image() -> dict[str, str]:
    found = re.search(r"^ENV (.+)$", DOCKERFILE, re.MULTILINE)
    assert found
    return dict(word.split("=", 1) for word in found[1].split())


def imported(room: Path) -> set[str]:
    """The first names of all that a room imports."""
    names = set()
    for path in room.rglob("*.py") if room.is_dir() else [room]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def installed_in_the_image() -> set[str]:
    """What can be imported there: the standard library, and what requirements.txt brings."""
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    bare = {name.lower().replace("_", "-") for name in pinned}
    given = importlib.metadata.packages_distributions()
    return set(sys.stdlib_module_names) | {
        module for module, names in given.items() if {name.lower().replace("_", "-") for name in names} & bare
    }


def test_context_when_the_image_is_built_then_it_holds_what_is_copied_and_nothing_else():
    """Secrets, .git and tests stay out: .dockerignore lets in by name what the Dockerfile copies."""
    assert len(COPIED) == len(re.findall(r"^COPY (?!--from)", DOCKERFILE, re.MULTILINE))
    rules = (ROOT / ".dockerignore").read_text().split()
    assert rules[0] == "*"
    assert sorted(rule[1:] for rule in rules if rule.startswith("!")) == sorted(COPIED)
    assert [name for name in COPIED if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("room", ["wsgi.py", "config", "app", "migrations", "tenant"])
def test_image_when_a_room_runs_in_it_then_all_that_it_imports_is_there(room: str):
    """The development tenant too, which compose mounts into the image."""
    rooms = {name.removesuffix(".py") for name in COPIED} | {Path(room).stem}
    # _typeshed is there for the type checker alone.
    assert imported(ROOT / room) - rooms - installed_in_the_image() - {"_typeshed"} == set()


def test_image_when_it_runs_then_as_a_user_that_owns_only_what_it_writes():
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    assert "install -d -o 10001 -g 10001 -m 0700 var var/keys var/tmp" in last
    assert "--chown" not in last


@contextlib.contextmanager
def served(directory: Path, *, migrated: bool) -> Iterator[str]:
    """A real API on a port of its own."""
    database = f"sqlite:///{directory / 'postern.db'}"
    if migrated:
        upgrade(database)
    with running(settings_for(directory, database)) as api:
        server = make_server("127.0.0.1", free_port(), api.app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield str(server.port)
        finally:
            server.shutdown()
            server.server_close()


def exit_status(check: list[str], **environment: str) -> int:
    assert check[0] == "python"
    command, told = [sys.executable, *check[1:]], {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=told, capture_output=True, check=False, timeout=60).returncode


def image_check() -> list[str]:
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found
    return list(json.loads(found[1]))


def compose_check() -> list[str]:
    return list(SERVICES["api-1"]["healthcheck"]["test"][1:])


def test_health_checks_when_the_api_serves_then_0_and_when_nobody_does_then_not(tmp_path: Path):
    # Docker hands the proxies of its client on to every container: a check that asked one would never get home.
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    with served(tmp_path, migrated=True) as port:
        assert exit_status(image_check(), PORT=port, **proxy) == 0
        assert exit_status(compose_check(), PORT=port, **proxy) == 0
    assert exit_status(image_check(), PORT=port) != 0
    assert exit_status(compose_check(), PORT=port) != 0


def test_health_checks_when_the_schema_is_missing_then_alive_but_not_ready(tmp_path: Path):
    with served(tmp_path, migrated=False) as port:
        assert exit_status(image_check(), PORT=port) == 0
        assert exit_status(compose_check(), PORT=port) == 1


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("service", ["migrate", "purge", *SERVED])
def test_settings_when_compose_gives_them_then_the_api_takes_them(
    service: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also those of the development tenant: plain http is taken from a loopback address only."""
    (tmp_path / "database_url").write_text("postgresql://postern:secret@postgresql/postern\n")
    (tmp_path / "log_hash_key").write_text("0" * 64 + "\n")
    for setting, value in (of_the_image() | SERVICES[service]["environment"]).items():
        if setting != "PATH":
            told = filled_in(value, example(name)).replace("/run/secrets", str(tmp_path))
            monkeypatch.setenv(setting, told)
    settings = Settings.from_env()
    assert settings.database_url.startswith("postgresql://")
    assert settings.log_hash_key == "0" * 64
    assert settings.shared_store_url == "valkey://valkey:6379/0"


@pytest.mark.parametrize("name", EXAMPLES)
def test_variables_when_compose_demands_them_then_an_example_gives_them(name: str):
    demanded = {found[0] for found in VARIABLE.findall((DEPLOY / "compose.yaml").read_text()) if found[1] != "-"}
    assert demanded <= set(example(name))


def test_secrets_when_a_setting_is_a_file_then_it_is_mounted():
    for service in SERVICES.values():
        files = {value for name, value in service.get("environment", {}).items() if name.endswith("_FILE")}
        assert files == {f"/run/secrets/{name}" for name in service.get("secrets", [])}


@pytest.mark.parametrize("name", [*OURS, "nginx", "tenant-door", "tenant-at-api-1", "tenant-at-api-2"])
def test_service_when_it_runs_then_without_root_without_rights_and_without_writing(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user") == (None if name in OURS else "nginx")


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_service_when_it_goes_on_then_a_health_check_of_its_own(name: str):
    """The purge once inherited the image's, which asks for an API; it was unhealthy, and `up --wait` failed with it."""
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES["migrate"]["restart"] == "no"


def test_api_when_it_writes_then_to_volumes_that_belong_to_its_user():
    """A tmpfs over a folder of the image is root's; a new volume takes over whose the folder is."""
    for name in SERVED:
        targets = {volume.split(":")[1] for volume in SERVICES[name]["volumes"]}
        assert targets == {"/srv/var/keys", SERVICES[name]["environment"]["TMPDIR"]}
        assert targets <= {"/srv/var/keys", "/srv/var/tmp"}
    mounted = [volume.split(":")[0] for name in SERVED for volume in SERVICES[name]["volumes"]]
    assert len(mounted) == len(set(mounted))
    assert not [path for name in OURS for path in SERVICES[name]["tmpfs"] if path.startswith("/srv")]


def test_start_when_the_schema_is_made_then_before_the_apis_and_after_the_database_is_there_for_good():
    """While its image makes the database, PostgreSQL answers on its socket, and then restarts."""
    for name in (*SERVED, "purge"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["postgresql"] == {"condition": "service_healthy"}
    check = SERVICES["postgresql"]["healthcheck"]["test"]
    assert check[check.index("-h") + 1] == "127.0.0.1"


def test_stop_when_requests_are_in_flight_then_there_is_time_for_them():
    drain = Settings.__dataclass_fields__["drain_seconds"].default
    for name in SERVED:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > drain + 30


def test_nginx_when_it_leads_on_then_to_the_apis_and_they_believe_it_alone():
    """It asks for names once: a new container has the address of the old one."""
    upstream = re.findall(r"^\s+server (\S+) max_fails", (DEPLOY / "nginx" / "nginx.conf").read_text(), re.MULTILINE)
    assert upstream == [f"{name}:{of_the_image()['PORT']}" for name in SERVED]
    addresses = [SERVICES[name]["networks"]["front"]["ipv4_address"] for name in ("nginx", *SERVED)]
    assert len(set(addresses)) == len(addresses)
    for name in SERVED:
        assert SERVICES[name]["environment"]["TRUSTED_PROXIES"] == addresses[0]
        assert set(SERVICES[name]["networks"]) == {"data", "front"}


def test_database_and_store_when_they_run_then_nobody_outside_reaches_them():
    assert COMPOSE["networks"]["data"] == {"internal": True}
    for name in ("postgresql", "valkey"):
        assert SERVICES[name]["networks"] == ["data"]
        assert "ports" not in SERVICES[name]


def test_tenant_when_it_is_for_development_then_each_api_finds_it_at_its_own_loopback():
    environment, tenant = example("development.env"), SERVICES["tenant"]
    assert environment["TENANT_ISSUER"] == f"http://127.0.0.1:{tenant['environment']['TENANT_PORT']}/"
    assert filled_in(tenant["environment"]["TENANT_API_IDENTIFIER"], environment) == environment["API_AUDIENCE"]
    assert tenant["ports"] == ["127.0.0.1:9000:9001"]
    doors = {
        service["network_mode"]: (DEPLOY / service["volumes"][0].split(":")[0]).read_text()
        for service in SERVICES.values()
        if "network_mode" in service
    }
    assert set(doors) == {"service:tenant", *(f"service:{name}" for name in SERVED)}
    assert re.search(r"listen 9001;\s+proxy_pass 127.0.0.1:9000;", doors["service:tenant"])
    for name in SERVED:
        assert re.search(r"listen 127.0.0.1:9000;\s+proxy_pass tenant:9001;", doors[f"service:{name}"])
    only = [name for name, service in SERVICES.items() if service.get("profiles") == ["development"]]
    assert sorted(only) == ["tenant", "tenant-at-api-1", "tenant-at-api-2", "tenant-door"]


def test_git_when_secrets_lie_in_deploy_then_it_does_not_take_them():
    assert (DEPLOY / ".gitignore").read_text().split() == [".env", "secrets/"]
