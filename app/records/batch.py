"""Many writes in one transaction, under one lock: each for itself, or all or nothing.

Takes   session: inside Database.transact;  identity, batch, terms;  now: aware, UTC;  who may do what
Gives   one result for each operation, in order: Written, or the refusal that it would get on its own
Raises  Conflict where an all-or-nothing batch has a refusal in it; what locking the account raises
Not     the batch's shape (operation_shapes.py), scopes (the web knows the token)
Source  docs/contracts/user-data.md U15
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from app.records.draft import Draft
from app.records.errors import Conflict, NotApplied, RecordsError, ValidationFailed
from app.records.operation_shapes import Batch
from app.records.operations import Kind, Operation
from app.records.terms import Terms
from app.records.writing import Written, key_of, perform, prepared, write_other
from app.users import account as accounts
from app.users.errors import FieldReadOnly, UsersError
from app.users.identity import Identity

Result = Written | Exception


def run(  # noqa: PLR0913 - the session, who, what, on which terms, when, and who may
    session: Session,
    identity: Identity,
    batch: Batch,
    terms: Terms,
    now: datetime,
    *,
    refusal_of: Callable[[Operation], Exception | None] = lambda _operation: None,
) -> tuple[Result, ...]:
    """Carry out the operations in their order; a later one sees what an earlier one has done.

    Every operation is checked before anything of it is taken down, so that a refusal has nothing to roll back and
    takes nothing of its neighbours with it. The records are written in the end, all at once.
    """
    results: list[Result] = []
    texts: list[str | None] = []
    for number, operation in enumerate(batch.operations):
        text, refusal = _prepared(operation, terms, refusal_of)
        texts.append(text)
        results.append(NotApplied() if refusal is None else _placed(refusal, number, operation))
    hopeful = [number for number, result in enumerate(results) if isinstance(result, NotApplied)]
    if not hopeful:
        # Nothing to lock and nothing to make: but whose account is closed shall hear of that.
        accounts.find(session, identity, now)
        return _judged(batch, results)
    wished = [batch.operations[number] for number in hopeful]
    keys = [key_of(operation) for operation in wished if operation.kind is Kind.RECORD]
    draft = Draft(session, identity, terms.limits, now, numbers=len(hopeful), keys=keys)
    for number in hopeful:
        operation, used = batch.operations[number], draft.account.seq
        try:
            if operation.kind is Kind.RECORD:
                results[number] = perform(draft, operation, texts[number], terms)
            else:
                results[number] = write_other(session, identity, operation, terms, now)
        except (RecordsError, UsersError) as refused:
            results[number] = _placed(refused, number, operation)
            draft.account.seq = used
    judged = _judged(batch, results)
    draft.save()
    return judged


def _judged(batch: Batch, results: list[Result]) -> tuple[Result, ...]:
    """Give the results, unless it was all or nothing and is nothing: then no success stands among them."""
    refusals = [result if isinstance(result, Exception) else NotApplied() for result in results]
    if batch.atomic and any(not isinstance(refusal, NotApplied) for refusal in refusals):
        raise Conflict(refusals)
    return tuple(results)


def _prepared(
    operation: Operation, terms: Terms, refusal_of: Callable[[Operation], Exception | None]
) -> tuple[str | None, Exception | None]:
    refusal = refusal_of(operation)
    if refusal is not None or operation.kind is not Kind.RECORD:
        return None, refusal
    try:
        return prepared(operation, terms), None
    except (RecordsError, UsersError) as refused:
        return None, refused


def _placed(refusal: Exception, number: int, operation: Operation) -> Exception:
    """Let pointers lead into the batch's body: sent alone, the operation would have a body of its own."""
    above = f"/operations/{number}" if operation.kind is Kind.RECORD else f"/operations/{number}/data"
    if isinstance(refusal, FieldReadOnly):
        return FieldReadOnly([above + pointer for pointer in refusal.pointers])
    if isinstance(refusal, ValidationFailed):
        faults = refusal.errors
        if operation.kind is Kind.PREFERENCES:
            faults = tuple({**fault, "pointer": fault["pointer"].removeprefix("/preferences")} for fault in faults)
        return ValidationFailed([{**fault, "pointer": above + fault["pointer"]} for fault in faults])
    return refusal
