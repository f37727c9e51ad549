"""JSON merge patch.

Takes   target: the JSON value as it is;  patch: what is to change: null removes, an object merges, the rest replaces
Gives   the merged value; neither argument is changed
Raises  MergeTooDeep
Not     what the result may be (validation.py)
Source  RFC 7396 §2
"""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 64


class MergeTooDeep(ValueError):  # noqa: N818 - says what is the case
    """The patch is nested deeper than this merge follows."""


def merge(target: Any, patch: Any, *, max_depth: int = MAX_DEPTH) -> Any:
    """Apply the patch, as RFC 7396 §2's pseudocode says it."""
    if not isinstance(patch, Mapping):
        return patch
    if max_depth <= 0:
        raise MergeTooDeep
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value, max_depth=max_depth - 1)
    return result
