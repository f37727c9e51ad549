"""The operator's rules of single collections: edit this room to give one a schema, or to demand preconditions.

Takes   nothing
Gives   COLLECTION_RULES: Rule by the name of its collection; one that is not named takes free JSON
Raises  nothing
Not     limits for everybody (settings), the check itself (terms.py)
Source  docs/contracts/user-data.md §6, U4

An example:

    class NoteSchema(Schema):
        title = fields.String(required=True, validate=validate.Length(max=200))

    COLLECTION_RULES = {"notes": Rule(schema=NoteSchema(), require_preconditions=True)}
"""

from collections.abc import Mapping

from app.records.terms import Rule

COLLECTION_RULES: Mapping[str, Rule] = {}
