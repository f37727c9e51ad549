"""The OpenAPI document: written from the routes' own declarations, so that it cannot say otherwise than they do.

blueprint   what a route declares: its entry                 document    the whole of it, put together
parameters  what stands in paths, queries and fields         answers     what each status carries: fields, problems
words       descriptions and examples, by operation          links       which answer leads to which request
"""

from app.web.openapi.blueprint import Blueprint
from app.web.openapi.document import VERSION, document, make_api

__all__ = ["VERSION", "Blueprint", "document", "make_api"]
