"""What all measurements of the sync share: where, who, on which server, how often; and the API's settings.

Takes   what `python -m benchmarks sync` is told
Gives   Run;  settings(): the API as it is deployed, with one worker
Raises  OSError if the key file cannot be written
Not     the measurements (sync_size.py, sync_peers.py)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.credentials import Credentials
from benchmarks.servers import deployed
from benchmarks.sync_databases import Cluster


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `requests`: of each kind in each round."""

    directory: Path
    credentials: Credentials
    cluster: Cluster
    rounds: int
    requests: int
    tell: Callable[[str], None]

    def settings(self, url: str) -> dict[str, str]:
        """The API's settings; the limits are counted, and high enough for users who do nothing but ask."""
        return {
            **deployed(self.credentials, self.directory / "sync-jwks.json", url),
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",
            "RATE_LIMIT_WRITES_PER_MINUTE": "1000000",
        }
