"""Render the tenant's pages, under a content security policy that lets no script run.

Takes   a template's name and values
Gives   a Response with CSP, no-store and the status
Raises  nothing
Not     what the pages say
Source  D11; CSP 3 (form-action also rules the redirects that follow a form)
"""

from flask import Response, make_response, render_template

from tenant import browser, context
from tenant.callbacks import form_action_source


def page(template: str, *, status: int = 200, callback: str | None = None, **values: object) -> Response:
    """Render a page; `callback` is where its form may lead to in the end."""
    response = make_response(
        render_template(template, csrf_token=browser.csrf_token(), issuer=context.current().issuer, **values), status
    )
    targets = "'self'" + (f" {form_action_source(callback)}" if callback else "")
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def go_to(address: str, status: int = 302) -> Response:
    """Redirect; 303 after a form, so that its password is not sent on (RFC 9700 §4.12)."""
    return Response(status=status, headers={"Location": address})


def error_page(status: int, title: str, text: str, hint: str | None = None) -> Response:
    """Say what went wrong, to the person in front of the browser and to the developer behind."""
    return page("error.html", status=status, title=title, text=text, hint=hint)
