"""The house as a test: rooms, their map, their size, and what the repository must not hold."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("app", "config", "tenant", "native", "dev", "benchmarks", "prove")


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_readme_when_it_maps_the_rooms_then_every_top_level_room_has_its_line():
    readme = (ROOT / "README.md").read_text()
    for room in ("config", "migrations", "tenant", "native", "dev", "benchmarks", "prove", "tests", "docs"):
        assert f"| `{room}/` |" in readme, room
    for room in sorted(path.name for path in (ROOT / "app").iterdir() if path.is_dir() and path.name != "__pycache__"):
        assert f"`app/{room}/`" in readme, room


def test_readme_when_it_lists_settings_then_exactly_those_that_are_read():
    from config.settings import Settings

    known = {name.upper() for name in Settings.__dataclass_fields__} - {"TENANT_ISSUERS", "API_AUDIENCES"}
    known |= {"TENANT_ISSUER", "API_AUDIENCE", "AUTH0_DOMAIN"}
    for document, heading in (("README.md", "## Settings"), ("docs/settings.md", "# Settings")):
        table = (ROOT / document).read_text().partition(heading)[2].partition("\n## ")[0]
        rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
        assert set(re.findall(r"`([A-Z0-9_]+)`", " ".join(rows))) == known, document


def test_environment_when_read_then_in_the_settings_alone():
    """config/settings.py is the only reader of the environment."""
    for path in (ROOT / "app").rglob("*.py"):
        assert "environ[" not in path.read_text().replace("request.environ", ""), path
        assert "os.environ" not in path.read_text(), path


def test_room_when_it_grows_past_300_lines_then_it_is_two():
    assert {
        str(path.relative_to(ROOT)): lines for path in modules() if (lines := path.read_text().count("\n")) > 300
    } == {}


def test_module_when_it_is_a_room_then_it_begins_with_what_it_is_for():
    for path in modules():
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_module_when_named_then_not_like_one_of_the_standard_library():
    import sys

    rooms = [path.stem for path in (ROOT / "app").rglob("*.py")]
    assert not {name for name in rooms if name in sys.stdlib_module_names}


def test_requirements_when_locked_then_every_line_has_hashes_and_no_address():
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "index-url" not in text
        pinned = re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==", text, re.MULTILINE)
        assert len(pinned) > 20
        for block in re.split(r"\n(?=[a-z])", text):
            assert "--hash=sha256:" in block, block[:40]


def test_repository_when_listed_then_no_secret_state_or_build():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in tracked if name.startswith(("var/", ".venv/", "node_modules/"))]
    assert not [name for name in tracked if name.endswith((".pem", ".db", ".pyc"))]
