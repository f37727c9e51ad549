"""Where alembic finds the migrations.

Takes   nothing
Gives   migrations(), alembic's configuration
Raises  nothing
Not     which of them a database has (app/schema_version.py), applying them (db.py)
Source  alembic "Configuration"
"""

from alembic.config import Config

from app import schema_version


def migrations() -> Config:
    """Return alembic's configuration, made in code: no alembic.ini with a second DATABASE_URL in it."""
    config = Config()
    config.set_main_option("script_location", str(schema_version.MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
