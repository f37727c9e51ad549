"""The page that the browser shows when the login has come back to the app.

Takes   good: whether the answer was the expected one;  message: one sentence of ours, or what the issuer said
Gives   the page and its header fields, complete: no script, nothing fetched, nothing of the query in it unescaped
Not     deciding what is good (login.py)
Source  RFC 8252 §8.12 (leave the user in the browser, say that the app goes on); RFC 9700 §4.2.4 (no referrer)
"""

import html
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #16202e; --paper: #f4f6fa; --card: #fff; --soft: #5b6778; --mark: #17803d }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8edf4; --paper: #10151c; --card: #1a212b; --soft: #9aa7b8; --mark: #4cc777 }
}
:root.refused { --mark: #c2372e }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.25rem;
  background: var(--paper); color: var(--ink); font: 1.0625rem/1.55 system-ui, sans-serif }
main { width: 100%; max-width: 26rem; padding: 2.5rem 2rem; text-align: center; background: var(--card);
  border-radius: 1rem; box-shadow: 0 1px 2px rgb(0 0 0 / .08), 0 12px 32px rgb(0 0 0 / .08) }
.mark { width: 3.5rem; height: 3.5rem; margin: 0 auto 1.25rem; border-radius: 50%; display: grid;
  place-items: center; font-size: 1.75rem; color: var(--card); background: var(--mark) }
h1 { margin: 0 0 .5rem; font-size: 1.375rem; line-height: 1.25; overflow-wrap: anywhere }
p { margin: 0; color: var(--soft); overflow-wrap: anywhere }
""".strip()

_PAGE: Final = """<!doctype html>
<html lang="en" class="{kind}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<div class="mark" aria-hidden="true">{mark}</div>
<h1>{title}</h1>
<p>{message}</p>
</main>
</body>
</html>
"""

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # this page's own address holds the code
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


def received() -> bytes:
    """The page for an answer that was the expected one; the terminal tells how the login ended."""
    return _render("received", "✓", "You can close this window", "The app has your answer and goes on in the terminal.")


def refused(message: str) -> bytes:
    """The page for any other answer."""
    return _render("refused", "!", "You are not logged in", f"{message} Close this window and try again in the app.")


def _render(kind: str, mark: str, title: str, message: str) -> bytes:
    page = _PAGE.format(kind=kind, mark=mark, title=html.escape(title), message=html.escape(message), style=_STYLE)
    return page.encode()
