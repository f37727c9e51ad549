"""`make run`: the API and the development tenant on this machine, until Ctrl-C.

Takes   PORT, TENANT_PORT and every setting of the API; with TENANT_ISSUER or AUTH0_DOMAIN set, no tenant is started
Gives   two servers and the lines to try
Raises  nothing: says what is wrong and ends with status 1
"""

import os
import signal
import sys
import time
from types import FrameType

from dev.processes import (
    ROOT,
    Stack,
    StackError,
    answers,
    api_command,
    api_environment,
    is_taken,
    migrate,
    tenant_command,
)


def main() -> int:
    """Run until Ctrl-C, SIGTERM or the end of the terminal."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _as_interrupt)
    own_tenant = not (os.environ.get("TENANT_ISSUER") or os.environ.get("AUTH0_DOMAIN"))
    with Stack() as stack:
        try:
            api_url, issuer = (
                f"http://127.0.0.1:{_port('PORT', 8000)}",
                f"http://127.0.0.1:{_port('TENANT_PORT', 9000)}/",
            )
            _start(stack, api_url, issuer, own_tenant=own_tenant)
            _tell(api_url, issuer, own_tenant=own_tenant)
            _watch(stack)
        except StackError as fault:
            print(f"make run: {fault}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nstopping")
        finally:
            # A second Ctrl-C must not break off the stopping.
            for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(ending, signal.SIG_IGN)
    return 0


def _port(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal():
        raise StackError(f"{name} must be a number, not {value}")
    return int(value)


def _start(stack: Stack, api_url: str, issuer: str, *, own_tenant: bool) -> None:
    for url in (api_url, issuer.rstrip("/")) if own_tenant else (api_url,):
        port = int(url.rpartition(":")[2])
        if is_taken(port):
            raise StackError(f"port {port} is in use: stop what runs there, or say PORT=… TENANT_PORT=… make run")
    (ROOT / "var").mkdir(exist_ok=True)
    environment = api_environment(api_url, issuer, ROOT / "var" / "postern.db")
    if own_tenant:
        tenant = {**os.environ, "TENANT_PORT": issuer.rstrip("/").rpartition(":")[2], "TENANT_API_IDENTIFIER": api_url}
        stack.start("the development tenant", tenant_command(), tenant)
        stack.wait_for("the development tenant", issuer + ".well-known/openid-configuration")
    elif not os.environ.get("TENANT_ISSUER"):
        del environment["TENANT_ISSUER"]
    migrate(environment)
    stack.start("the API", api_command(), environment)
    stack.wait_for("the API", api_url + "/livez")


def _tell(api_url: str, issuer: str, *, own_tenant: bool) -> None:
    print(f"\n  The API answers at {api_url}" + (f", the development tenant at {issuer}" if own_tenant else ""))
    if not own_tenant:
        print("  No development tenant was started: TENANT_ISSUER or AUTH0_DOMAIN is set in this shell.")
    else:
        port = "" if api_url.endswith(":8000") else f"PORT={api_url.rpartition(':')[2]} "
        tenant_port = "" if issuer.endswith(":9000/") else f"TENANT_PORT={issuer.rstrip('/').rpartition(':')[2]} "
        flags = f" --issuer {issuer} --api {api_url}" if port or tenant_port else ""
        print("  Paste into another terminal:\n")
        print(f"    TOKEN=$({port}{tenant_port}make -s token)")
        print(f'    curl -s -H "Authorization: Bearer $TOKEN" {api_url}/v1/me | python3 -m json.tool')
        print(f"    .venv/bin/python -m native login{flags}   # the same in your browser")
        if flags:
            print(f"    .venv/bin/python -m native me{flags}      # each command wants the same flags")
    if not answers(api_url + "/readyz"):
        print(
            "\n  The API is not ready, most likely because the tenant's keys cannot be fetched: the log above says why."
        )
    print("\n  Ctrl-C stops everything.\n", flush=True)


def _watch(stack: Stack) -> None:
    while True:
        for name, process in stack.processes.items():
            if process.poll() is not None:
                raise StackError(f"{name} has stopped (exit status {process.returncode})")
        time.sleep(0.2)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
