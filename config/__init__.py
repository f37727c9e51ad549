"""settings: the only reader of the environment. gunicorn_conf: how gunicorn runs the API."""
