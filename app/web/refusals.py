"""What the domain refuses, as problem codes: the same for a request of its own and for one operation of a batch.

Takes   an exception of the users' or the records' domain, or a scope that is missing;  the token
Gives   Refusal, frozen: the code, and the members that stand beside it
Raises  nothing
Not     the table of codes (catalogue.py), the answer (problems.py), the token's own faults
Source  docs/contracts/user-data.md §4, U4, U7, U15
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from app.oauth.access_token import AccessToken
from app.oauth.errors import InsufficientScope
from app.records import errors as records
from app.records.reading import ENVELOPE_BYTES
from app.users import errors as users
from app.users.deletion import Deletion
from app.users.deletion import as_document as deletion_document
from app.users.models import SCHEDULED
from app.web.catalogue import PROBLEMS
from app.web.runtime import runtime
from app.web.shown import VERSION, shown

DOMAIN_ERRORS = (records.RecordsError, users.UsersError)
_READ_ONLY = "It belongs to the tenant, the operator or the server."
_ACCOUNT_EXISTS = "The user has an account: GET /v1/me shows it."
_NO_RECORD = "There is no such record, and none is remembered as deleted."
_NOT_APPLIED = "Another operation of this all-or-nothing batch was refused, so this one was not carried out."
_ATOMIC = "Nothing was written: `results` says which operations were refused, and why."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem's code, and what replaces or extends the table's members."""

    code: str
    members: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The status that the code has."""
        return PROBLEMS[self.code].status


def refusal_of(fault: Exception, token: AccessToken) -> Refusal:  # noqa: PLR0911 - one for each kind of refusal
    """Name what is refused; raises the fault itself where it is no refusal but a bug."""
    match fault:
        case users.FieldReadOnly():
            errors = [{"pointer": pointer, "detail": _READ_ONLY} for pointer in fault.pointers]
            return Refusal("field_read_only", {"errors": errors})
        case users.ValidationFailed():
            return Refusal("validation_failed", {"errors": list(fault.errors)})
        case users.AccountDeleted():
            return Refusal("account_deleted")
        case users.AccountDeletionScheduled():
            current = deletion_document(Deletion(SCHEDULED, fault.requested_at, fault.purge_at))
            return Refusal("account_deletion_scheduled", {"current": current})
        case users.AccountExists():
            return Refusal("conflict", {"detail": _ACCOUNT_EXISTS})
        case records.RecordsError():
            return Refusal(fault.code, _members(fault, token))
        case InsufficientScope():
            return Refusal(fault.reason.code, {"scope": " ".join(fault.required)})
    raise fault


def _members(fault: records.RecordsError, token: AccessToken) -> dict[str, Any]:  # noqa: PLR0911 - as above
    match fault:
        case records.NotFound():
            return {"detail": _NO_RECORD}
        case records.Gone():
            return {"seq": fault.seq}
        case records.PreconditionFailed():
            return {"current": shown(fault.current, token)}
        case records.QuotaExceeded():
            return {"detail": _no_room(fault), "quota": fault.quota, "limit": fault.limit}
        case records.PayloadTooLarge():
            return {"detail": f"At most {fault.limit} {fault.unit} are taken here.", "limit": fault.limit}
        case records.BadFilter():
            return {"detail": "`collections` must be names of collections, with commas between them."}
        case records.NotApplied():
            return {"detail": _NOT_APPLIED}
        case records.Conflict():
            results = [result_document(refusal_of(result, token)) for result in fault.results]
            return {"detail": _ATOMIC, "results": bounded(results, runtime().terms.limits.answer_bytes)}
    return {}


def _no_room(fault: records.QuotaExceeded) -> str:
    where = {"records": " in one collection", "bytes": " of this user"}.get(fault.quota, "")
    return f"At most {fault.limit} {fault.quota}{where}: delete what is no longer needed, then send it again."


def result_document(refusal: Refusal) -> dict[str, Any]:
    """Write the refusal of one operation of a batch, in the shape of §3."""
    members = dict(refusal.members)
    stored = members.pop("current", None)
    current = {} if stored is None else {"current": stored}
    problem = PROBLEMS[refusal.code]
    told = {"code": refusal.code, "retryable": problem.retryable, "action": problem.action, "title": problem.title}
    detail = members.pop("detail", problem.detail)
    return {"status": problem.status, "problem": {**told, "detail": detail, **members}, **current}


def bounded(results: list[dict[str, Any]], max_bytes: int) -> list[dict[str, Any]]:
    """Shorten the results for which an answer of so many bytes has no room: code and version stay.

    A hundred small operations can each meet the largest record, or have fifty faults each; no answer is larger than
    any other may be (§5).
    """
    room = max_bytes - sum(_size(_shortened(result)) for result in results) - ENVELOPE_BYTES
    kept = []
    for result in results:
        short = _shortened(result)
        room -= _size(result) - _size(short)
        kept.append(short if room < 0 else result)
    return kept


def _shortened(result: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is stored of `current`, and of `errors` all but the first."""
    short = dict(result)
    if "current" in result:
        named = ("id", "collection", *VERSION, "deleted")
        short["current"] = {name: result["current"][name] for name in named if name in result["current"]}
    if "errors" in result.get("problem", {}):
        short["problem"] = {**result["problem"], "errors": result["problem"]["errors"][:1]}
    return short


def _size(result: dict[str, Any]) -> int:
    return len(orjson.dumps(result)) + 1
