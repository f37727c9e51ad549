"""Every clause of the token contract is proven by a test that names it, and docs/clauses.md says by which."""

import re
from pathlib import Path

from dev.write_clauses import proofs

ROOT = Path(__file__).parents[2]


def test_clauses_when_looked_for_then_each_has_a_test_that_names_it():
    """docs/contracts/tokens.md: Each clause is proven by at least one test whose docstring quotes it."""
    contract = (ROOT / "docs" / "contracts" / "tokens.md").read_text()
    clauses = set(re.findall(r"^([TKVP]\d+)  ?", contract, re.MULTILINE))
    assert {"T1", "T30", "K11", "V4", "P4"} <= clauses
    assert clauses - set(proofs()) == set()


def test_document_when_it_names_a_test_then_there_is_one():
    """Run `python -m dev.write_clauses` when this fails."""
    written = (ROOT / "docs" / "clauses.md").read_text()
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/.]+)\)", written)
    assert len(named) > 100
    assert {name for name, path in named if f"def {name}(" not in (ROOT / path).read_text()} == set()
    assert set(re.findall(r"^\| ([TKVP]\d+) \|", written, re.MULTILINE)) == {
        clause for clause in proofs() if re.fullmatch(r"[TKVP]\d+", clause)
    }
