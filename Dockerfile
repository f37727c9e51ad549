# The API alone: neither tenant/ nor native/ nor tests/ are in the image. It does not migrate: run
#   docker run … postern flask --app wsgi db upgrade
# as a step of its own before a new version takes requests.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
# The result needs no pip of its own: this image's fills it.
RUN python -m venv --without-pip /venv
COPY requirements.txt .
# Only wheels: no compiler is needed, and none gets into the result.
RUN pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements.txt

FROM python:3.13-slim-bookworm
RUN groupadd --gid 10001 postern \
  && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /srv --shell /usr/sbin/nologin postern
WORKDIR /srv
COPY --from=build /venv /venv
COPY wsgi.py ./
COPY config config
COPY app app
COPY migrations migrations
# Whatever umask the copies were made under, and compiled once: on a read-only root each start would compile it anew.
RUN chmod -R u=rwX,go=rX . && python -m compileall -q wsgi.py config app migrations
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json
# The copy of the tenant's keys (JWKS_SNAPSHOT_DIR), for a worker that starts while the tenant is down; exports on their way.
RUN install -d -o 10001 -g 10001 -m 0700 var var/keys var/tmp
USER 10001
EXPOSE 8000
# NOTE no urllib: it would ask the proxy that the environment may name.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import http.client, os, sys; api = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); api.request('GET', '/livez'); sys.exit(api.getresponse().status != 200)"]
CMD ["gunicorn", "-c", "config/gunicorn_conf.py", "wsgi:app"]
