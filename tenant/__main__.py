"""`python -m tenant [--quiet]`: run the development tenant until Ctrl-C or SIGTERM.

Takes   the environment (settings.py); --quiet: no banner, no event log on standard error
Gives   exit status 0 after a clean stop, 2 for settings, registry or address that cannot be used
Raises  nothing
Not     production
Source  D16
"""

import argparse
import os
import signal
import sys

from tenant.registry import RegistryError
from tenant.serve import TenantServer
from tenant.settings import SettingsError, TenantSettings, from_environment


def main() -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tenant", description="The development tenant. Development only.")
    parser.add_argument("--quiet", action="store_true", help="no banner, and no event log on standard error")
    # SIGTERM then means what Ctrl-C means: leave the serving loop, close the files, exit 0.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = from_environment(os.environ, quiet=parser.parse_args().quiet)
        if settings.allow_public:
            os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # whoever says so has been warned; see the banner
        server = TenantServer(settings)
    except (SettingsError, RegistryError, OSError) as error:
        print(f"tenant: {error}", file=sys.stderr)
        return 2
    try:
        if not settings.quiet:
            print(_banner(settings), file=sys.stderr, flush=True)
        server.run()
    except KeyboardInterrupt:
        pass
    return 0


def _banner(settings: TenantSettings) -> str:
    lines = [
        "DEVELOPMENT TENANT: anyone who reaches it can mint tokens. Never point a production API at it.",
        f"  issuer    {settings.issuer}",
        f"  controls  http://{settings.host}:{settings.port}/_dev",
        f"  state     {settings.state_dir}   registry  {settings.registry_file}",
    ]
    if settings.allow_public:
        lines.append("  TENANT_ALLOW_PUBLIC=yes: it listens beyond this machine, over plain http; /_dev stays local.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
