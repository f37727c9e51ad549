"""Clients that openapi-generator makes of the published document: Swift, Kotlin and Dart."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.commands.db import upgrade
from app.factory import create_app
from config.settings import Settings

GENERATOR = Path(sys.executable).parent / "openapi-generator-cli"
# By language: where its operations and models are, and how each names a file.
CLIENTS = {
    "swift6": ("Sources/OpenAPIClient/APIs/*.swift", "Sources/OpenAPIClient/Models/*.swift"),
    "kotlin": ("src/main/kotlin/**/apis/*.kt", "src/main/kotlin/**/models/*.kt"),
    "dart": ("lib/api/*.dart", "lib/model/*.dart"),
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as it is served."""
    directory = tmp_path_factory.mktemp("document")
    database = f"sqlite:///{directory / 'postern.db'}"
    upgrade(database)
    settings = Settings(
        tenant_issuers=("https://tenant.example/",),
        api_audiences=("https://api.example",),
        public_url="https://api.example",
        database_url=database,
        jwks_snapshot_dir=None,
    )
    app = create_app(settings)
    path = directory / "openapi.json"
    path.write_bytes(app.test_client().get("/v1/openapi.json").data)
    app.extensions["postern"].stop()
    return path


def generator(*arguments: str) -> str:
    """Run it, and hold it to its word: no error, no warning."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [GENERATOR, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    complaints = [line for line in said.splitlines() if re.search(r"\b(WARN|ERROR)\b|^Warnings|^Errors", line)]
    assert complaints == []
    return said


def operations_of(document: dict[str, Any]) -> list[str]:
    return [entry["operationId"] for path in document["paths"].values() for entry in path.values()]


def test_document_when_validated_then_nothing_is_wrong_with_it(document: Path):
    """U §6: OpenAPI 3.0.3."""
    assert "No validation issues detected" in generator("validate", "-i", str(document), "--recommend")


@pytest.mark.parametrize("language", CLIENTS)
def test_client_when_generated_then_it_has_every_operation_and_every_shape(
    document: Path, tmp_path: Path, language: str
):
    """U §6: what Swift's, Kotlin's and Dart's generators make of it without error or warning."""
    generator("generate", "--strict-spec", "true", "-g", language, "-i", str(document), "-o", str(tmp_path))
    apis, models = CLIENTS[language]
    written = "\n".join(path.read_text() for path in tmp_path.glob(apis))
    published = json.loads(document.read_text())
    missing = [name for name in operations_of(published) if not re.search(rf"\b{name}\b", written)]
    assert missing == []
    files = {re.sub("[^a-z]", "", path.stem.lower()) for path in tmp_path.glob(models)}
    shapes = {
        re.sub("[^a-z]", "", name.lower())
        for name, shape in published["components"]["schemas"].items()
        if shape["properties"]
    }
    assert shapes - files == set()
