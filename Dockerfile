# syntax=docker/dockerfile:1
# The API alone: neither tenant/ nor native/ nor tests/ are in the image. It does not migrate: run
#   docker run … postern flask --app wsgi db upgrade
# as a step of its own before a new version takes requests.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt .
# Only wheels: no compiler is needed, and none gets into the result.
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements.txt

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /srv --shell /usr/sbin/nologin postern
WORKDIR /srv
COPY --from=build /venv /venv
COPY wsgi.py ./
COPY config config
COPY app app
COPY migrations migrations
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json
# The copy of the tenant's keys (JWKS_SNAPSHOT_DIR), for a worker that starts while the tenant is down.
RUN install -d -o 10001 -m 0700 /srv/var /srv/var/keys /srv/var/tmp
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/livez\", timeout=2)"]
CMD ["gunicorn", "-c", "config/gunicorn_conf.py", "wsgi:app"]
