"""Every migration goes up, down and up again, alone, and ends in the tables that the models speak of."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner, Result
from sqlalchemy import inspect, text

from app import schema_version
from app.commands.db import db_group, downgrade, upgrade
from app.commands.migrations import migrations
from app.db import Base, Database

ROOT = Path(__file__).resolve().parents[2]


def schema(url: str) -> dict[str, Any]:
    """Everything about the tables that the inspector tells, as text to compare."""
    database = Database(url)
    with database.engine.connect() as connection:
        inspector = inspect(connection)
        found = {
            table: {
                "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
                "primary key": inspector.get_pk_constraint(table),
                "indexes": [
                    {**index, "dialect_options": {name: str(value) for name, value in options.items()}}
                    for index in inspector.get_indexes(table)
                    for options in [index.get("dialect_options", {})]
                ],
                "unique": inspector.get_unique_constraints(table),
            }
            for table in sorted(inspector.get_table_names())
            if table != "alembic_version"
        }
    database.dispose()
    return found


def run(url: str, *words: str, wait_seconds: float = 60, answer: str | None = None) -> Result:
    return CliRunner().invoke(db_group(url, wait_seconds=wait_seconds), words, input=answer)


def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(migrations())


def test_migrations_when_counted_then_numbered_with_one_head_and_reversible():
    """docs/style.md rule 17: "Migrations: numbered, one head, reversible"."""
    steps = list(reversed(list(scripts().walk_revisions())))
    assert len(scripts().get_heads()) == 1
    for number, step in enumerate(steps, 1):
        assert step.revision == f"{number:04d}"
        assert re.fullmatch(rf"{step.revision}_[a-z0-9_]+\.py", Path(step.path).name)
        assert callable(step.module.downgrade)


def test_migrations_when_taken_up_down_and_up_then_the_same_tables_again(database_url):
    """docs/style.md: "migrations with an advisory lock, up-down-up"."""
    revisions = [step.revision for step in reversed(list(scripts().walk_revisions()))]
    states = [{}]
    for revision in revisions:
        upgrade(database_url, revision)
        states.append(schema(database_url))
        downgrade(database_url, "-1")
        assert schema(database_url) == states[-2]
        upgrade(database_url, revision)
        assert schema(database_url) == states[-1]
    downgrade(database_url, "base")
    assert schema(database_url) == {}
    upgrade(database_url)
    assert schema(database_url) == states[-1]


def test_migrations_when_applied_then_the_tables_are_those_of_the_models(database):
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrations_when_applied_then_postgresql_leaves_room_for_updates(postgresql_url):
    """§7: "fillfactor 70"."""
    upgrade(postgresql_url)
    database = Database(postgresql_url)
    with database.read() as session:
        assert session.scalar(text("SELECT reloptions FROM pg_class WHERE relname = 'accounts'")) == ["fillfactor=70"]
    database.dispose()


def test_upgrade_when_two_processes_run_it_at_once_then_both_succeed(database_url):
    code = "import sys; from app.commands.db import upgrade; print(upgrade(sys.argv[1]))"
    runs = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, database_url],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    ends = [process.communicate(timeout=60) for process in runs]
    assert [(process.returncode, out, err) for process, (out, err) in zip(runs, ends, strict=True)] == [
        (0, f"applied: {scripts().get_current_head()}; newest: {scripts().get_current_head()}\n", "")
    ] * 2


def test_upgrade_when_another_migration_goes_on_and_on_then_it_gives_up_and_says_so(database_url):
    other = Database(database_url)
    with other.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("SELECT 1" if is_sqlite else "SELECT pg_advisory_lock(7640891576)")
        found = run(database_url, "upgrade", wait_seconds=0.05)
    other.dispose()
    assert (found.exit_code, schema(database_url)) == (1, {})
    assert "another migration, or a long transaction, holds the lock" in found.output


def test_upgrade_when_a_step_fails_then_nothing_of_it_stays(database_url, tmp_path, monkeypatch):
    """On both databases DDL is part of the transaction."""
    copy = copied_migrations(tmp_path, monkeypatch)
    head = scripts().get_current_head()
    (copy / "versions" / "9999_broken.py").write_text(
        f'"""Broken."""\nfrom alembic import op\nrevision, down_revision = "9999", "{head}"\n'
        'def upgrade():\n    op.execute("CREATE TABLE half (a INT)")\n    op.execute("SELEKT")\n'
        "def downgrade():\n    pass\n"
    )
    upgrade(database_url, "0001")
    before = schema(database_url)
    with pytest.raises(Exception, match="SELEKT"):
        upgrade(database_url)
    assert schema(database_url) == before


def test_is_at_head_when_nothing_is_applied_then_no_and_after_the_upgrade_yes(database_url):
    database = Database(database_url)
    assert not database.is_at_head()
    upgrade(database_url)
    assert database.is_at_head()
    downgrade(database_url, "base")
    assert not database.is_at_head()
    database.dispose()


def test_is_at_head_when_the_database_is_newer_then_yes_for_the_old_workers_still_serve(database):
    database.transact(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    assert database.is_at_head()


def test_commands_when_used_one_after_the_other_then_each_says_where_the_database_stands(database_url):
    head = scripts().get_current_head()
    assert run(database_url, "current").output == f"applied: nothing; newest: {head}\n"
    assert run(database_url, "check").exit_code == 1
    assert run(database_url, "upgrade").output == f"applied: {head}; newest: {head}\n"
    assert run(database_url, "upgrade").exit_code == 0
    assert run(database_url, "current").output == f"applied: {head}; newest: {head}\n"
    assert run(database_url, "check").exit_code == 0
    assert run(database_url, "downgrade", "base", "--yes").output == f"applied: nothing; newest: {head}\n"


def test_downgrade_when_not_confirmed_then_nothing_happens(database_url):
    upgrade(database_url)
    refused = run(database_url, "downgrade", "base", answer="n\n")
    assert (refused.exit_code, "is lost" in refused.output, "accounts" in schema(database_url)) == (1, True, True)
    assert run(database_url, "downgrade").exit_code == 2


def test_check_when_a_table_is_not_as_the_models_say_then_it_fails(database, database_url):
    database.transact(lambda session: session.execute(text("ALTER TABLE accounts ADD COLUMN stray INT")))
    found = run(database_url, "check")
    assert found.exit_code == 1
    assert "stray" in found.output


def test_upgrade_when_the_revision_is_unknown_then_one_sentence(database_url):
    found = run(database_url, "upgrade", "7777")
    assert (found.exit_code, found.output) == (1, "Error: Can't locate revision identified by '7777'\n")


@pytest.mark.parametrize("command", ["upgrade", "current", "check"])
def test_commands_when_the_database_is_down_then_one_sentence_without_the_password(command):
    found = run("postgresql://nobody:s3cret@127.0.0.1:1/none", command)
    assert found.exit_code == 1
    assert found.output.startswith("Error: the database in DATABASE_URL cannot be used")
    assert "s3cret" not in found.output


def test_upgrade_when_the_folder_of_the_file_is_missing_then_it_is_made(tmp_path):
    url = f"sqlite:///{tmp_path / 'var' / 'deeper' / 'postern.db'}"
    assert run(url, "upgrade").exit_code == 0
    assert "accounts" in schema(url)


def test_revision_when_asked_for_then_the_next_number_with_what_differs(database, database_url, tmp_path, monkeypatch):
    copy = copied_migrations(tmp_path, monkeypatch)
    number = len(list(scripts().walk_revisions())) + 1
    database.transact(lambda session: session.execute(text("ALTER TABLE accounts ADD COLUMN stray INT")))
    found = run(database_url, "revision", "drop the stray column")
    assert found.exit_code == 0, found.output
    written = (copy / "versions" / f"{number:04d}_drop_the_stray_column.py").read_text()
    assert "'stray'" in written
    upgrade(database_url)
    assert "stray" not in [column["name"] for column in schema(database_url)["accounts"]["columns"]]


def copied_migrations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = folder / "migrations 100%"
    shutil.copytree(ROOT / "migrations", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema_version, "MIGRATIONS", copy)
    return copy
