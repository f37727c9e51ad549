"""How the parts of the document are called.

Takes   a parameter's or field's name, a marshmallow schema
Gives   component_name, schema_name
Raises  nothing
Not     the parts
Source  OpenAPI 3.0.3 §4.7.7
"""

from typing import Any


def component_name(name: str) -> str:
    """If-None-Match → IfNoneMatch, record_id → RecordId: generated code makes a name of it."""
    return "".join(word[:1].upper() + word[1:] for word in name.replace("_", "-").split("-"))


def schema_name(schema: Any) -> str:
    """Name a schema by its class."""
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Schema")
