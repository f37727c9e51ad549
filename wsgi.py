"""The WSGI entry: `gunicorn -c config/gunicorn_conf.py wsgi:app`."""

from app.factory import create_app
from config.settings import Settings

app = create_app(Settings.from_env_or_exit())
