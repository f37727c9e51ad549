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

_EXPLAIN = (
    "Where the API runs, this shows every check with the values of the token in hand; paste the token when it asks: "
    "flask --app wsgi explain-token"
)
_EXPLAIN_FOR = (
    "Where the API runs, this shows what the request demands and what the token has; paste the token when it asks: "
    'flask --app wsgi explain-token --for "GET /v1/me"'
)

HELP: dict[str, tuple[str, ...]] = {
    "no_credentials": (
        "You see this where the Authorization header is missing or empty, or names another scheme (Basic, Token).",
        "Most often the app sends before it has a token, or its HTTP library drops the header at a redirect.",
        "A token in the query, in a form field or in a cookie is never read: such tokens end up in logs and histories.",
        "Try the same by hand: curl -i -H 'Authorization: Bearer <token>' <API>/v1/whoami",
    ),
    "malformed_authorization": (
        "After the scheme there must be one token, and nothing else.",
        "Most often two libraries add the header, and its values arrive joined by a comma.",
        "Or there are quotes, a blank or a line break in the token.",
        "The words null and undefined where the token should stand mean that the app sent before it had one.",
        _EXPLAIN,
    ),
    "token_too_large": (
        "Large tokens come from large custom claims: keep roles, groups and attributes short, or out of the token.",
        "flask --app wsgi explain-token names the largest claims. For operators: MAX_TOKEN_BYTES is the limit.",
    ),
    "opaque_token": (
        "The token is a short random string, or has five parts: the tenant did not make it for this API.",
        "Most often the login request names no audience. Auth0 and others then issue a token for their own use.",
        "Add audience=<API identifier> to the authorization request (Auth0 SDKs: audience) and log in again.",
        "A refresh token looks like this, too: send access_token of the token response.",
        _EXPLAIN,
    ),
    "malformed_token": (
        "A JWT has three parts with dots between them, in base64url without padding, nothing cut off, no blanks.",
        "Most often it was cut by a column of a database, or encoded once more: compare the lengths received and sent.",
        _EXPLAIN,
    ),
    "encrypted_token": (
        "The token has five parts: the tenant encrypts it for this API, which reads signed tokens only.",
        "In Auth0's dashboard: APIs, your API, Token Encryption: off. Then get a new token.",
        _EXPLAIN,
    ),
    "algorithm_refused": (
        "The alg in the token's header is not in TOKEN_ALGORITHMS (RS256, unless the operator says otherwise).",
        "Most often the API is registered at the tenant with HS256: set RS256 there, then get a new token.",
        "In Auth0's dashboard: APIs, your API, Signing Algorithm.",
        "HS256 and none can never be configured: whoever checks an HS256 token could also make one.",
        _EXPLAIN,
    ),
    "wrong_type": (
        "The token is signed by the tenant and made for another purpose: a refresh, logout, DPoP or event token.",
        "Read access_token of the token response. With TOKEN_PROFILE=rfc9068 the header must say typ: at+jwt, too.",
        _EXPLAIN,
    ),
    "id_token_used": (
        "The ID token tells the app who logged in; it is no key to an API.",
        "Most often the app reads id_token where it should read access_token of the same response.",
        "If both are the same kind of token, the login request names no audience: add audience=<API identifier>.",
        _EXPLAIN,
    ),
    "wrong_issuer": (
        "iss of the token is not TENANT_ISSUER, character for character.",
        "Most often a trailing slash: Auth0's iss ends in one. Or http for https, or the tenant's other domain.",
        "For operators: flask --app wsgi doctor says what to set; two names of one tenant stand there with a comma.",
        _EXPLAIN,
    ),
    "wrong_audience": (
        "aud of the token does not hold API_AUDIENCE, character for character: a slash at the end counts.",
        "Most often the app requests another audience, or none, when it logs in.",
        "Request audience=<API identifier> and log in again: a refresh keeps the old one.",
        _EXPLAIN,
    ),
    "malformed_claims": (
        "A claim has another type than it must have: exp as text or in milliseconds, scope as an array, sub too long.",
        "Most often an action, rule or mapper at the tenant adds or changes it.",
        _EXPLAIN,
    ),
    "missing_claim": (
        "iss, sub, aud and exp must be there; TOKEN_PROFILE=rfc9068 asks for client_id, iat and jti as well.",
        "Most often the token is not the tenant's own, or its API is set to another token profile.",
        _EXPLAIN,
    ),
    "token_expired": (
        "Access tokens are short-lived on purpose: this is the usual 401, and a refresh cures it.",
        "Renew about a minute before the expiry, and on this answer; one refresh for all requests of the app.",
        "If a fresh token is refused too, a clock is wrong: compare server_time with the device's.",
        "For operators: flask --app wsgi doctor compares the server's clock with the tenant's.",
        _EXPLAIN,
    ),
    "token_not_yet_valid": (
        "nbf or iat of the token is in the future by this server's clock, by more than CLOCK_SKEW_SECONDS.",
        "One of the clocks is wrong: compare server_time with the tenant's Date field. It is not the device's clock.",
        "For operators: flask --app wsgi doctor does that.",
        _EXPLAIN,
    ),
    "unknown_key": (
        "The tenant was asked just now, and publishes no key of this kid: it has changed its keys.",
        "A new access token has a new key: refresh, once. If that is refused too, the app logs in at another tenant.",
        "flask --app wsgi explain-token names the kid of the token and those that the tenant publishes.",
    ),
    "bad_signature": (
        "The token was changed on its way, cut, put together by hand, or signed by somebody else under the same kid.",
        "Never edit a token, not even to extend it. Compare it byte by byte with access_token of the token response.",
        _EXPLAIN,
    ),
    "proof_required": (
        "The token is bound to a key of the app: send Authorization: DPoP <token>, and a proof in the DPoP field.",
        "RFC 9449 says how to make one. Or this API takes bound tokens only: let the tenant bind them (cnf.jkt).",
        "Where this API takes no proofs, or the token is bound by mutual TLS: turn sender constraining off for it.",
    ),
    "token_not_bound": (
        "In Auth0's dashboard: APIs, your API, sender constraining by DPoP; and the app asks for tokens with a proof.",
        "Until then the Bearer scheme is right, unless this API takes bound tokens only.",
    ),
    "invalid_dpop_proof": (
        "detail says which member is wrong. Header: typ dpop+jwt, alg, jwk (the public key alone).",
        "Claims: htm, htu, iat, jti, and ath, the base64url SHA-256 of the access token as it was sent.",
        "htu is the URL that the app called, and nothing that a proxy made of it: PUBLIC_URL and the path.",
        "Used before: HTTP libraries and proxies repeat requests by themselves; each repetition needs a new proof.",
        "iat: compare server_time with the device's clock. For operators: with DPOP_NONCE=required no clock matters.",
    ),
    "use_dpop_nonce": (
        "No fault: take DPoP-Nonce from the answer, put it into the claim nonce of a new proof, and send again, once.",
        "Each answer brings the next one: keep the newest, and only a pause of minutes costs a second request.",
    ),
    "insufficient_scope": (
        "The token is good and lacks a scope; `scope` of this answer names what is needed.",
        "The scope must be registered for the API at the tenant, requested by the app, and agreed to by the user.",
        "Tenants drop unknown scopes without a word: compare the scopes of /v1/whoami with what was requested.",
        "A refresh brings no new scope: log in again, and request it.",
        _EXPLAIN_FOR,
    ),
    "user_required": (
        "The token speaks for an application (client credentials) or for nobody; this is a user's data.",
        "Log a user in: authorization code with PKCE, in the system browser.",
        _EXPLAIN_FOR,
    ),
    "permission_required": (
        "With RBAC the tenant lists the user's permissions in the token: assign the role there.",
        "The API must be set to add permissions to its tokens (Auth0: APIs, your API, RBAC). Then get a new token.",
        _EXPLAIN_FOR,
    ),
    "keys_unavailable": (
        "The API could not fetch the tenant's keys and holds none that are fresh enough. The token may be good.",
        "An app waits as Retry-After says and keeps its user logged in.",
        "For operators: flask --app wsgi doctor says what stands between the API and the tenant.",
        "/readyz names the issuer, and the log says since when.",
    ),
    "field_read_only": ("errors[].pointer names the member. E-mail follows the tenant; roles are the operator's.",),
    "account_deletion_scheduled": (
        "The token is good; data can be neither read nor written while the deletion is scheduled. /v1/whoami works.",
        "Tell the user, and offer to cancel: GET /v1/me/deletion shows the times, DELETE cancels (delete:account).",
        "`current` is what that GET would show. An offline queue keeps what it holds until the user has decided.",
    ),
    "conflict": ("POST /v1/me: there is an account already, perhaps made by another device a moment ago.",),
    "account_deleted": (
        "On this device: drop what it holds of the account, and stop syncing. Neither a refresh nor a new login helps.",
        "Ask the user before POST /v1/me (write:profile): the account was deleted because its user said so.",
    ),
    "not_found": (
        "Most often the path has a slash too many, or lacks /v1. It is said before any token is looked at.",
        "GET /v1 lists the links; /v1/openapi.json lists every path.",
    ),
    "precondition_failed": (
        "Someone else changed it since you read it: `current` is what is stored now.",
        "Apply the change to `current`, and send it with the ETag of this answer in If-Match.",
    ),
    "validation_failed": (
        "errors[].pointer is a JSON pointer into the body; errors[].detail says what is wrong there.",
        "All faults are told at once: mend them, and send it again.",
    ),
    "too_many_proofs": (
        "One key sends more requests with proofs than are remembered: 2000 in about two minutes. Look for a loop.",
    ),
    "unavailable": (
        "An app waits as Retry-After says and sends the same again, with the same Idempotency-Key or If-Match.",
        "A write may be stored all the same, where the database broke off in a commit: so sent, it is done once.",
        "For operators: flask --app wsgi doctor looks at the database, its migrations and the stores.",
        "/readyz says what is missing; the log says why, under the same request_id.",
    ),
    "internal_error": (
        "This is a fault of the API, whatever was sent. Tell the operator the request_id of this answer.",
        "For operators: the log holds the whole cause under request_id. Sending it again will hardly help.",
    ),
    "key_distrusted": (
        "The operator has withdrawn the key, perhaps because it leaked: every token signed with it is refused.",
        "Refresh, once: the tenant signs with another key by now. If it does not, only the operator can help.",
        "For operators: flask --app wsgi revoke list; then rotate the key at the tenant.",
    ),
    "token_revoked": (
        "The operator has revoked the token, or every token of this user until now. A refresh may be refused as well.",
        "Forget the tokens on the device and let the user log in again.",
        "For operators: flask --app wsgi revoke list shows why, explain-token which entry it is.",
    ),
    "client_revoked": (
        "The operator has withdrawn the app: every token issued to it is refused, those of a new login, too.",
        "Neither refresh nor log in again: tell the user that this app cannot be used now, and ask the operator.",
        "For operators: flask --app wsgi revoke list shows why, revoke lift client CLIENT_ID takes it back.",
    ),
    "step_up_required": (
        "The token is good, and the login behind it is too old or too weak for what was asked (RFC 9470).",
        "Log in again with max_age or acr_values as the challenge says; the new token must tell auth_time or acr.",
        "Auth0 tells neither by itself: an Action adds them, and AUTH_TIME_CLAIM and ACR_CLAIM name the claims.",
        _EXPLAIN_FOR,
    ),
    "quota_exceeded": (
        "`quota` says of what there is too much: records of one collection, collections, or bytes of the user.",
        "GET /v1/me/usage shows what is used beside the limits. Park the write, and tell the user.",
        "Once there is room, the same request succeeds, with the same Idempotency-Key too.",
    ),
    "gone": (
        "Drop the record on the device. PUT makes it anew, under the same id.",
        "A device that follows GET /v1/changes is told of each deletion without asking for the record.",
    ),
    "cursor_expired": (
        "The device was away for longer than deletions are remembered, or the database was restored from a backup.",
        "Ask GET /v1/changes without a cursor, and drop what the first sync does not bring; keep what is not yet sent.",
        "For operators: TOMBSTONE_DAYS says how long a device may be away.",
    ),
    "precondition_required": (
        "Read the record, and send its ETag in If-Match: so no device overwrites what it has not seen.",
    ),
    "idempotency_key_reused": (
        "A key names one request: the same method, path and body, however often it is sent.",
        "Most often the app makes its keys from too little, or changes the body before it tries again.",
    ),
    "bad_cursor": (
        "Most often the cursor was cut, or decoded and encoded again on its way.",
        "Ask GET /v1/changes without a cursor: the device then gets everything once more.",
    ),
    "bad_page_token": ("Page tokens are for one collection, and for its list alone: begin again without one.",),
    "rate_limited": (
        "RateLimit-Policy names the limit, RateLimit what is left of it and the seconds until it is renewed.",
        "`policy` says which: requests, writes, or failures: tokens from your address that no tenant has issued.",
        "Ask GET /v1/changes instead of reading record by record, and send writes in one POST /v1/batch.",
        "GET /v1/me/export has a limit of its own, for 24 hours; the detail says so, and Retry-After when it ends.",
        "For operators: RATE_LIMIT_REQUESTS_PER_MINUTE, RATE_LIMIT_WRITES_PER_MINUTE, RATE_LIMIT_FAILURES_PER_MINUTE.",
        "For operators, of exports: EXPORTS_PER_DAY.",
    ),
    "method_not_allowed": ("The path is right. Allow lists its methods; a proxy may have turned one into another.",),
    "bad_request": (
        "The request itself is no HTTP that can be understood, or is too large: its title says more.",
        "Most often a header field or the address holds what may not stand there. Try the same with curl -v.",
    ),
    "malformed_json": (
        "The body is not one JSON value: look for a comma at the end, single quotes, NaN, a name twice, or no UTF-8.",
        "Let a JSON library write the body, and log what is really sent.",
    ),
    "request_timeout": (
        "The rest of the body did not come within a minute, or was shorter than Content-Length says.",
        "Nothing was changed: send the same again. If it happens often, look at the size of what is sent.",
    ),
    "busy": (
        "Two writes of one user came at once, and this one waited too long for its turn. Nothing was changed.",
        "Send it again, after Retry-After. If it happens often, let the app send the writes of a user one by one.",
    ),
    "payload_too_large": (
        "GET /v1 tells the limits. Send less, or in several requests.",
        "For operators: MAX_BODY_BYTES; a proxy in front has a limit of its own.",
    ),
    "unsupported_media_type": (
        "Send Content-Type: application/json; PATCH takes application/merge-patch+json, too.",
        "Most often the library calls the body text/plain or a form.",
    ),
}
