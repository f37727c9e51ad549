"""The environments of what stands side by side: the API as production has it, the peers, Node's packages.

Takes   the folder var/bench
Gives   the folder of each environment's programs; None for Express where there is no Node
Raises  CalledProcessError where something cannot be installed
Not     Kinto's (kinto.py); nothing is installed twice while its lock file stays the same

The API is measured with requirements.txt alone: what developers install beside it is found by libraries, takes memory
in each worker, and is in no production.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.servers import ROOT

_EXPRESS = ROOT / "benchmarks" / "express"


def production(directory: Path) -> Path:
    """What the API has where it is deployed."""
    return _installed(directory / "production", ROOT / "requirements.txt")


def peers(directory: Path) -> Path:
    """The peers in Python, and Granian."""
    return _installed(directory / "peers", ROOT / "requirements-peers.txt")


def express(directory: Path) -> Path | None:
    """Express with Auth0's middleware: the folder of its server.js."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    folder, lock = directory / "express", (_EXPRESS / "package-lock.json").read_text()
    mark = folder / ".installed"
    if not mark.exists() or mark.read_text() != lock:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(_EXPRESS, folder, ignore=shutil.ignore_patterns("node_modules"))
        subprocess.run([npm, "ci", "--ignore-scripts", "--silent"], cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603
        mark.write_text(lock)
    shutil.copy(_EXPRESS / "server.js", folder)
    return folder


def _installed(folder: Path, requirements: Path) -> Path:
    programs, mark, wanted = folder / "bin", folder / ".installed", requirements.read_text()
    if not mark.exists() or mark.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)  # noqa: S603 - fixed words
        pip = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(requirements)], check=True, stdout=sys.stderr)  # noqa: S603
        mark.write_text(wanted)
    return programs
