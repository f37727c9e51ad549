"""settings, checks: the only reader of the environment. gunicorn_conf, worker, connection: how gunicorn runs us."""
