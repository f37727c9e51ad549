"""`flask doctor`: is everything around the API as it should be, and if not, what to do.

Takes   settings: the API's
Gives   the click command; one line for each check; exit status 0, warnings included, or 1 if a check fails
Raises  nothing that a check could meet: what goes wrong is a line
Not     settings that do not parse: then there is no API and no command, and config/settings.py has named each of them
        (exit status 1); tokens (explain_token.py)
Source  docs/design.md "Doors"

It changes nothing anywhere, waits a few seconds for each answer at most, and shows neither a password nor a key.
"""

import json
import sys
import time
from collections.abc import Iterator

import click

from app.commands.examination import edge, tenant
from app.commands.screen import Finding, Screen
from config.settings import Settings


def doctor_command(settings: Settings) -> click.Command:
    """Make the command for one API."""

    @click.command("doctor")
    @click.option("--json", "as_json", is_flag=True, help="For programs.")
    def command(*, as_json: bool) -> None:
        """Check settings, tenant, clock, database and stores, and say what to do. Changes nothing."""
        found: list[Finding] = []
        screen = Screen.of_process()
        for finding in examine(settings, time.time()):
            found.append(finding)
            if not as_json:
                for line in screen.finding(finding):
                    click.echo(line)
        failed = sum(finding.outcome == "fail" for finding in found)
        if as_json:
            click.echo(json.dumps({"ok": not failed, "checks": [_plain(one) for one in found]}, indent=2))
        else:
            click.echo("")
            click.echo("\n".join(_summary(found, failed, screen)))
        sys.exit(1 if failed else 0)

    return command


def examine(settings: Settings, now: float) -> Iterator[Finding]:
    """Look at everything, the cheapest first."""
    yield from edge.examine(settings)
    published = yield from tenant.examine(settings)
    # Here, because it needs the client of the shared store, which no worker shall carry for a command's sake.
    from app.commands.examination import rotation, storage  # noqa: PLC0415

    yield from storage.examine(settings, now)
    yield from rotation.examine(settings, published, now)


def _summary(found: list[Finding], failed: int, screen: Screen) -> Iterator[str]:
    warned = sum(finding.outcome == "warn" for finding in found)
    more = f", {warned} with a warning" if warned else ""
    if failed:
        text = f"{failed} of {len(found)} checks failed{more}: see the lines marked so."
        return screen.headline("NOT WELL", text, good=False)
    if warned:
        lines = "line" if warned == 1 else "lines"
        return screen.headline("WELL", f"{len(found)} checks{more}: see the {lines} marked warn.", good=None)
    return screen.headline("WELL", f"{len(found)} checks, nothing to do.", good=True)


def _plain(finding: Finding) -> dict[str, str | None]:
    return {"name": finding.name, "outcome": finding.outcome, "text": finding.text, "advice": finding.advice}
