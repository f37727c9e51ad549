"""`flask explain-token`: would the API accept this token, and if not, why, in a developer's words.

Takes   a token on standard input, never as an argument; the API's settings, policy and routes
Gives   the click command; exit status 0 accepted, 1 refused, 2 nothing to judge, or undecided without the keys
Raises  click.UsageError, exit status 2, which repeats nothing of what was given
Not     the checks themselves (diagnosis/): each is asked of the code that the API runs
Source  docs/contracts/tokens.md §2, §6, T28; RFC 8725

A token is a password for as long as it lives: as an argument it would stay in the shell's history and stand in the
list of processes. It is read, never printed, and sent nowhere.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import click
from flask import Flask

from app.commands.diagnosis import checks, demands, verdict
from app.commands.diagnosis.decoded import decode
from app.commands.diagnosis.demands import Demands, NoSuchRequest, Route
from app.commands.diagnosis.hidden_input import read_text
from app.commands.diagnosis.keys import look
from app.commands.diagnosis.pasted import NothingToJudge, Pasted, read
from app.commands.diagnosis.show import Explanation, document, lines
from app.commands.diagnosis.situation import Situation
from app.commands.reading import revocations_of
from app.commands.screen import Screen
from app.oauth.claims import TokenPolicy
from app.oauth.revocation.rules import NOTHING_REVOKED
from config.settings import Settings

_EXIT_STATUS = {True: 0, False: 1, None: 2}
_LAST_SECOND = 253_402_300_000


@dataclass(frozen=True, slots=True)
class Explained:
    """The API whose tokens are explained."""

    app: Flask
    settings: Settings
    policy: TokenPolicy
    policies: Mapping[str, Demands]
    """By endpoint."""
    actions: Mapping[str, str]
    """What each action means to an app."""


def explain_token_command(api: Explained) -> click.Command:
    """Make the command for one API."""

    @click.command("explain-token")
    @click.argument("unwanted", nargs=-1, metavar="")
    @click.option("--offline", is_flag=True, help="Fetch nothing: use JWKS_FILE or the copy of the keys on disk.")
    @click.option("--for", "request", metavar='"GET /v1/me"', help="Also check what this request demands.")
    @click.option("--at", "at", metavar="TIME", help="Judge as of then: 2026-11-21T10:00:00Z, or seconds since 1970.")
    @click.option("--json", "as_json", is_flag=True, help="For programs.")
    def command(
        *, unwanted: tuple[str, ...], offline: bool, request: str | None, at: str | None, as_json: bool
    ) -> None:
        """Say whether the API accepts a token, and if not, why and what to do.

        The token comes from standard input, or is asked for without being shown. A token response, or a line
        "Authorization: Bearer …" or "Authorization: DPoP …", will do as well. Where nothing names the scheme, a token
        that is bound to a key (cnf.jkt) is judged as sent by DPoP with a good proof, any other one as sent by Bearer.
        """
        if unwanted:
            # NOTE: not repeated. What was given may be a token.
            raise click.UsageError(
                "a token must not be an argument: it would stay in your shell's history. Pipe it in, "
                "or run the command without arguments and paste it. The one just given should be revoked."
            )
        now = time.time() if at is None else _second(at)
        try:
            route = None if request is None else demands.find(api.app, api.policies, request)
            pasted = read(read_text())
        except NoSuchRequest as fault:
            raise click.UsageError(f"--for names no request: {fault}") from fault
        except NothingToJudge as fault:
            click.echo(f"explain-token: {fault}", err=True)
            sys.exit(2)
        situation = gather(api, now, offline=offline)
        explanation = explain(pasted, api, route, situation, now=now, as_of_now=at is None)
        click.echo(document(explanation) if as_json else "\n".join(lines(explanation, Screen.of_process())))
        sys.exit(_EXIT_STATUS[explanation.verdict.accepted])

    return command


def gather(api: Explained, now: float, *, offline: bool) -> Situation:
    """Gather what decides about a token: one look at the tenant, one at the database."""
    settings = api.settings
    denylist, why_not = revocations_of(settings.database_url, now=now)
    return Situation(
        policy=api.policy,
        published={issuer: look(issuer, settings, offline=offline, now=now) for issuer in settings.tenant_issuers},
        denylist=denylist or NOTHING_REVOKED,
        why_no_denylist=why_not,
        proofs_taken=settings.dpop_mode != "off",
        proof_required=settings.dpop_mode == "required",
        max_lifetime_seconds=settings.token_max_lifetime_seconds,
    )


def explain(  # noqa: PLR0913 - what was asked, each by its name
    pasted: Pasted, api: Explained, route: Route | None, situation: Situation, *, now: float, as_of_now: bool = True
) -> Explanation:
    """Judge one token as the API would at `now`."""
    pasted = _with_scheme(pasted, situation)
    with _quiet():
        examination = checks.examine(pasted.field_value, situation, now)
        demanded = () if route is None else demands.ask(route, examination.principal, now)
        found = (*examination.findings, *demanded)
        judged = verdict.of(pasted.field_value, situation, route, now, found)
    return Explanation(
        verdict=judged,
        findings=examination.findings,
        demands=demanded,
        decoded=examination.decoded,
        route=route,
        notes=pasted.notes,
        now=now,
        as_of_now=as_of_now,
        actions=api.actions,
        times=frozenset(filter(None, [api.policy.auth_time_claim])),
    )


def _with_scheme(pasted: Pasted, situation: Situation) -> Pasted:
    """Take a bound token of which nothing says how it is sent as sent by the DPoP scheme: apps send it so."""
    token = pasted.field_value.partition(" ")[2]
    bound_to = (decode(token).claims or {}).get("cnf")
    if not (pasted.names_no_scheme and situation.proofs_taken and isinstance(bound_to, dict) and "jkt" in bound_to):
        return pasted
    note = "the token is bound to a key: judged as sent by the DPoP scheme with a good proof"
    return Pasted(f"DPoP {token}", (*pasted.notes, note))


def _second(text: str) -> float:
    try:
        seconds = float(text) if text.isdecimal() else _aware(text).timestamp()
    except (ValueError, OverflowError):
        raise click.UsageError("--at wants a time: 2026-11-21T10:00:00Z, or seconds since 1970") from None
    if not 0 <= seconds < _LAST_SECOND:
        raise click.UsageError("--at wants a time between the years 1970 and 9999")
    return seconds


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the API's own log lines out of the explanation, which says the same and more."""
    log = logging.getLogger("app")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
