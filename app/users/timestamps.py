"""Times as the API writes them.

Takes   an aware time
Gives   RFC 3339, UTC, milliseconds
Raises  nothing
Not     how times are stored (app/db.py)
Source  RFC 3339 §5.6; docs/contracts/user-data.md U1
"""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Write the time, cut to milliseconds."""
    # NOTE isoformat cuts, it does not round; and strftime takes ten times as long, for each record of a page.
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
