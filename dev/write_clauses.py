"""Write docs/clauses.md: which test proves which clause, from the tests' own docstrings.

Takes   the docstrings of tests/: a clause of our contracts (T12), or a section of an RFC (RFC 7515 §5.2)
Gives   the document;  proofs(), the tests by clause
Raises  nothing
Not     whether the tests pass (`make test`), or prove what they say: a reader has to judge that
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from dev.processes import ROOT

_OURS = re.compile(r"\b([TKVP]\d{1,2})\b")
_RFC = re.compile(r"RFC (\d{4}) (?:§|appendix )([A-Z0-9.]*[A-Z0-9])")
_FAMILIES = {
    "T": "what a token must be, and what is answered",
    "K": "the tenant's keys",
    "V": "the cache of verified tokens",
    "P": "DPoP",
}
_SHOWN = 6
_INTRODUCTION = """# Which test proves which clause

Every test's docstring names the clause of [the token contract](contracts/tokens.md), or of an RFC, that it proves.
This table is made from the docstrings by `python -m dev.write_clauses`; a test demands one for each of our clauses.
At most six tests stand in a row; `grep -rn "T12:" tests` finds them all.
"""

Proof = tuple[Path, str]


def proofs() -> Mapping[str, list[Proof]]:
    """Return, by clause, every test whose docstring names it, as (path under the root, name)."""
    found: defaultdict[str, list[Proof]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, words in _tests(path):
            clauses = {*_OURS.findall(words), *(f"RFC {number} §{section}" for number, section in _RFC.findall(words))}
            for clause in clauses:
                found[clause].append((path.relative_to(ROOT), name))
    return found


def document(found: Mapping[str, list[Proof]]) -> str:
    """Return the whole document."""
    parts = [_INTRODUCTION]
    for family, words in _FAMILIES.items():
        clauses = sorted((clause for clause in found if clause[0] == family and clause[1:].isdigit()), key=_number)
        parts.append(f"## {family}: {words}\n")
        parts.append(_table(clauses, found))
    parts.append("## RFC sections\n")
    parts.append(_table(sorted((clause for clause in found if clause.startswith("RFC ")), key=_section), found))
    return "\n".join(parts)


def main() -> None:
    """Write the document."""
    (ROOT / "docs" / "clauses.md").write_text(document(proofs()), encoding="utf-8")


def _tests(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def _table(clauses: list[str], found: Mapping[str, list[Proof]]) -> str:
    rows = ["| clause | tests | for instance |", "| --- | ---: | --- |"]
    for clause in clauses:
        shown = "<br>".join(f"[`{name}`](../{path})" for path, name in found[clause][:_SHOWN])
        rows.append(f"| {clause} | {len(found[clause])} | {shown} |")
    return "\n".join(rows) + "\n"


def _number(clause: str) -> int:
    return int(clause[1:])


def _section(clause: str) -> tuple[int, list[tuple[int, str]]]:
    number, _, section = clause.removeprefix("RFC ").partition(" §")
    return int(number), [(int(part), "") if part.isdigit() else (0, part) for part in section.split(".")]


if __name__ == "__main__":
    main()
