"""What a worker knows of the migrations without alembic is what alembic knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app import schema_version
from app.commands.migrations import migrations
from app.db import Database

ROOT = Path(__file__).resolve().parents[2]
# What a worker has no use for; rich stands for what only a developer's environment has.
UNWANTED = ("alembic", "mako", "app.commands", "rich", "pygments")


def migration(folder: Path, *lines: str) -> Path:
    (folder / "versions").mkdir(exist_ok=True)
    number = len(list((folder / "versions").iterdir()))
    (folder / "versions" / f"{number}.py").write_text("\n".join(('"""Words: revision = "0"."""', *lines, "")))
    return folder


def test_revisions_when_read_then_those_that_alembic_finds():
    found = schema_version.revisions(schema_version.MIGRATIONS)
    scripts = ScriptDirectory.from_config(migrations())
    assert found.known == {script.revision for script in scripts.walk_revisions()}
    assert found.heads == set(scripts.get_heads())


def test_revisions_when_written_by_the_template_then_found_in_either_kind_of_quotes(tmp_path: Path):
    migration(tmp_path, "revision = '1'", "down_revision = None")
    migration(tmp_path, 'revision = "2"', "down_revision = '1'")
    assert schema_version.revisions(tmp_path) == schema_version.Revisions(frozenset("12"), frozenset("2"))


@pytest.mark.parametrize("line", ["down_revision = before()", "revision, down_revision = '1', None", ""])
def test_revisions_when_a_migration_does_not_say_so_then_refused(tmp_path: Path, line: str):
    migration(tmp_path, 'revision = "1"' if "," not in line else "", line)
    with pytest.raises(ValueError, match=r"0\.py does not say"):
        schema_version.revisions(tmp_path)


def test_applied_when_asked_then_as_alembic_says(database: Database, database_url: str):
    with database.engine.connect() as connection:
        applied = MigrationContext.configure(connection).get_current_heads()
        connection.rollback()
        assert schema_version.applied_to(connection) == set(applied)
        connection.rollback()


def test_applied_when_nothing_ever_was_then_none(database_url: str):
    empty = Database(database_url)
    with empty.read() as session:
        assert schema_version.applied_to(session.connection()) == frozenset()
    empty.dispose()


def test_worker_when_it_has_started_then_nothing_of_the_commands_is_loaded(tmp_path: Path):
    """Memory: alembic and the commands took 12 MB in each worker."""
    code = (
        "import sys; sys.modules['rich'] = None; import wsgi; "
        f"print([name for name in sys.modules if name.startswith({UNWANTED!r}) and name != 'rich'])"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "TENANT_ISSUER": "https://tenant.example/",
        "API_AUDIENCE": "https://api.example",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'x.db'}",
        "METRICS_PORT": "20001",
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("[]\n", "", 0)
