"""`make migrate`: `flask db upgrade` with the development settings where none are set."""

import os
import sys

from dev.processes import ROOT, StackError, api_environment, migrate


def main() -> int:
    """Bring the database to the newest schema."""
    (ROOT / "var").mkdir(exist_ok=True)
    api_url = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    try:
        migrate(api_environment(api_url, "http://127.0.0.1:9000/", ROOT / "var" / "postern.db"))
    except StackError as fault:
        print(fault, file=sys.stderr)
        return 1
    print("the database has the newest schema")
    return 0


if __name__ == "__main__":
    sys.exit(main())
