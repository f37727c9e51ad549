"""settings: the only reader of the environment. gunicorn_conf, worker: how gunicorn runs the API."""
