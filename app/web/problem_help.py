"""The longer help behind each code: what an app does about an action, and how a developer finds the cause.

Takes   nothing
Gives   ACTIONS by action, HELP by code; shown by problem_pages.py and written to docs/errors.md
Raises  nothing
Not     claims of any token: the pages are public
"""

ACTIONS: dict[str, str] = {
    "send_token": "Log the user in at the tenant and send the access token with each request.",
    "refresh": "Get a new access token with the refresh token, once, and send the request again. "
    "If the new token is refused in the same way, let the user log in again.",
    "reauthenticate": "Let the user log in again.",
    "request_scope": "Log in again and request the scope that the answer names.",
    "step_up": "Let the user log in again with the max_age or acr_values of the challenge.",
    "fix_client": "The app, or its registration at the tenant, has to change; until then, trying again will not help.",
    "ask_operator": "The app cannot help itself: the operator of the API has to act.",
    "retry_now": "Send the same request again at once.",
    "retry_later": "Keep the user logged in, wait as long as Retry-After says, and send the same request again.",
    "resync": "Fetch what is stored now, apply the change to it, and send it again.",
}

_LOOK = "See what the API understands of a good token: curl -H 'Authorization: Bearer <token>' <API>/v1/whoami"

HELP: dict[str, tuple[str, ...]] = {
    "no_credentials": (
        "The Authorization header is missing or empty, or names another scheme than Bearer.",
        "A token in the query, in a form field or in a cookie is never read: such tokens end up in logs and histories.",
    ),
    "malformed_authorization": (
        "Look for two Authorization headers, or for a line break or quotes around the token.",
        "The words null and undefined where the token should stand mean that the app sent before it had one.",
    ),
    "token_too_large": ("Large tokens come from large custom claims: keep roles and attributes short.",),
    "opaque_token": (
        "Auth0 and others issue an opaque token when the login request names no audience.",
        "Add audience=<API identifier> to the authorization request (Auth0 SDKs: the audience option).",
    ),
    "malformed_token": (
        "Three parts with dots between them, nothing cut off, no blanks: compare the lengths of what you got and sent.",
        _LOOK,
    ),
    "encrypted_token": ("In Auth0's dashboard: APIs, your API, Token Encryption: off.",),
    "algorithm_refused": ("In Auth0's dashboard: APIs, your API, Signing Algorithm: RS256 (not HS256).",),
    "wrong_type": ("Refresh, logout and DPoP tokens are not access tokens: read access_token of the token response.",),
    "id_token_used": (
        "The ID token tells the app who logged in; it is no key to an API. Read access_token of the same response.",
    ),
    "wrong_issuer": (
        "Most often a trailing slash: TENANT_ISSUER must equal iss exactly, and Auth0's iss ends in a slash.",
        "Or the app logs in at another tenant, or under the tenant's custom domain: list both names in TENANT_ISSUER.",
    ),
    "wrong_audience": ("Compare the aud of the token with API_AUDIENCE: the API identifier at the tenant, exactly.",),
    "malformed_claims": ("Look at the actions, rules or mappers at the tenant that add or change claims.",),
    "missing_claim": ("TOKEN_PROFILE=rfc9068 asks for client_id, iat and jti as well; `any` does not.",),
    "token_expired": (
        "Access tokens are short-lived on purpose. Renew about a minute before the expiry, and on this answer.",
        "If a fresh token is refused too, the clock of the device or of the API is wrong: compare server_time.",
    ),
    "token_not_yet_valid": ("One of the clocks is wrong: compare server_time with the Date field and with your own.",),
    "unknown_key": (
        "The tenant has changed its keys and no longer publishes this one; a new access token has a new one.",
        "If a fresh token is refused too, the API asks another tenant than the app.",
    ),
    "bad_signature": ("The token was changed on its way, or signed by somebody else under the same key id.",),
    "proof_required": (
        "The tenant bound the token to a key (DPoP or mutual TLS). Turn sender constraining off for this app.",
    ),
    "insufficient_scope": (
        "The scope must be registered for the API at the tenant, requested by the app, and agreed to by the user.",
        "Tenants drop unknown scopes without a word: compare the scopes of /v1/whoami with what was requested.",
    ),
    "user_required": ("A client credentials token speaks for an application. User data needs a user's login.",),
    "permission_required": ("With RBAC the tenant lists the user's permissions in the token: assign the role there.",),
    "keys_unavailable": (
        "The API could not fetch the tenant's keys and holds none that are fresh enough.",
        "For operators: /readyz says which issuer; the log says why.",
    ),
    "field_read_only": ("errors[].pointer names the member. E-mail follows the tenant; roles are the operator's.",),
    "not_found": ("GET /v1 lists the links; /v1/openapi.json lists every path.",),
    "precondition_failed": ("Someone else changed it since you read it: `current` is what is stored now.",),
    "validation_failed": ("errors[].pointer is a JSON pointer into the body; detail says what is wrong there.",),
    "unavailable": ("For operators: /readyz says what is missing; the log says why, under the same request_id.",),
    "internal_error": ("The log holds the cause under request_id.",),
}
