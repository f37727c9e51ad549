"""Write docs/errors.md from the table of problems, so that the document and the pages cannot differ."""

from app.web.catalogue import PROBLEMS
from app.web.problem_help import ACTIONS, HELP
from dev.processes import ROOT

_INTRODUCTION = """# Problem codes

Every error is `application/problem+json` (RFC 9457):
`type, title, status, detail, code, action, retryable, request_id`.
Branch on `code`, do what `action` says; `type` leads to the page of the code. Written by `python -m dev.write_errors`.

## Actions

| action | what the app does |
| --- | --- |
"""


def main() -> None:
    """Write the document."""
    lines = [_INTRODUCTION + "\n".join(f"| `{action}` | {text} |" for action, text in ACTIONS.items())]
    lines.append("\n## Codes\n")
    for problem in sorted(PROBLEMS.values(), key=lambda problem: (problem.status, problem.code)):
        lines.append(f"### {problem.code}\n")
        retry = "the same request can then succeed" if problem.retryable else "the same request will not succeed"
        lines.append(f"{problem.status} · `{problem.action}` · {retry}\n\n**{problem.title}.** {problem.detail}\n")
        lines += [f"- {text}" for text in HELP.get(problem.code, ())]
        lines.append("")
    (ROOT / "docs" / "errors.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
