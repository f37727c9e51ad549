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
from app.records.errors import Conflict, NotApplied, RecordsError
from app.records.operation_shapes import Batch
from app.records.operations import Kind, Operation
from app.records.terms import Terms
from app.records.writing import Written, key_of, perform, prepared, write_other
from app.users.errors import UsersError
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
    for operation in batch.operations:
        text, refusal = _prepared(operation, terms, refusal_of)
        texts.append(text)
        results.append(refusal or NotApplied())
    hopeful = [number for number, result in enumerate(results) if isinstance(result, NotApplied)]
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
            results[number] = refused
            draft.account.seq = used
    refusals = [result if isinstance(result, Exception) else NotApplied() for result in results]
    if batch.atomic and any(not isinstance(refusal, NotApplied) for refusal in refusals):
        raise Conflict(refusals)
    draft.save()
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
