"""`make -s token`: print an access token of the development tenant, got by a real login (code + PKCE) through its form.

Takes   PORT and TENANT_PORT, as `make run` does
Gives   the token alone on standard output, so that TOKEN=$(make -s token) works
Raises  nothing: says what is wrong and ends with status 1
"""

import os
import sys
import tempfile
from pathlib import Path

from dev.form_login import FormLoginError, open_as_a_person
from native.errors import NativeError
from native.login import login
from native.settings import Settings


def main() -> int:
    """Log in as the seeded user and print the token."""
    issuer = f"http://127.0.0.1:{os.environ.get('TENANT_PORT') or 9000}/"
    api = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(issuer=issuer, api=api, state_dir=Path(directory), store="file")
        try:
            tokens = login(settings, open_url=open_as_a_person)
        except (NativeError, FormLoginError, OSError) as fault:
            print(f"make token: {fault}\nIs `make run` running in another terminal?", file=sys.stderr)
            return 1
    print(tokens.access_token)
    return 0


if __name__ == "__main__":
    sys.exit(main())
