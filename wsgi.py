"""The WSGI entry: `gunicorn -c config/gunicorn_conf.py wsgi:app`."""

from app.factory import app_or_exit

app = app_or_exit()
