"""Whether decoded claims are an access token for this API: T14 to T19."""

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.access_token import AccessToken
from app.oauth.claims import MAX_SKEW_SECONDS, NotYetValid, TokenPolicy, check, require_profile
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from tests.support.outcomes import outcome_of
from tests.support.tokens import AUDIENCE, CLIENT_ID, DELETED, DIALECTS, ISSUER, NOW, SUBJECT, claims_of

POLICY = TokenPolicy(issuers=(ISSUER, "https://login.example/"), audiences=frozenset({AUDIENCE, "api://other"}))
SKEW = POLICY.clock_skew_seconds
SCP = dataclasses.replace(POLICY, scope_claim="scp")
RFC9068 = dataclasses.replace(POLICY, profile="rfc9068")

NOT_STRINGS = [None, True, 0, 1.5, [], ["a"], {}, {"a": 1}]
NOT_NUMBERS = [
    None,
    True,
    False,
    "1900000000",
    "",
    [],
    [1],
    {},
    float("nan"),
    float("inf"),
    float("-inf"),
    10**18,
    1e300,
]
NOT_TEXTS = [*NOT_STRINGS, "", "a" * 256, "a\x00b", "a\nb", "a\x7fb"]


def accepted(
    changes: dict[str, Any] | None = None,
    policy: TokenPolicy = POLICY,
    *,
    dialect: str = "auth0",
    typ: str | None = None,
    now: float = NOW,
    signing_input: bytes = b"",
) -> AccessToken:
    return check(claims_of(changes, dialect=dialect), policy, typ=typ, now=now, signing_input=signing_input)


def refusal(
    changes: dict[str, Any],
    policy: TokenPolicy = POLICY,
    *,
    dialect: str = "auth0",
    typ: str | None = None,
    now: float = NOW,
) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        accepted(changes, policy, dialect=dialect, typ=typ, now=now)
    return refused.value.reason


@pytest.mark.parametrize("dialect", DIALECTS)
def test_check_when_any_dialect_gives_the_one_principal(dialect: str):
    """T18: Every dialect (Auth0's own, RFC 9068, each with or without RBAC) becomes ONE principal."""
    token = accepted(dialect=dialect)

    assert (token.issuer, token.subject, token.client_id, token.kind) == (ISSUER, SUBJECT, CLIENT_ID, "user")
    assert token.scopes == {"openid", "profile", "read:profile", "write:preferences"}
    assert token.permissions == ({"read:profile", "write:preferences"} if "rbac" in dialect else frozenset())
    assert (token.issued_at, token.expires_at) == (NOW, NOW + 3600)
    assert token.audience == (AUDIENCE, "https://tenant.example/userinfo")
    assert (token.jti is not None) == dialect.startswith("rfc9068")
    assert (token.org_id, token.auth_time, token.acr, token.amr, token.cnf) == (None, None, None, (), None)
    assert token.claims == claims_of(dialect=dialect)


def test_check_when_all_optional_claims_are_there_gives_them():
    """T18: …, org_id, issued_at, expires_at, jti, auth_time, acr, amr, cnf, claims."""
    extra = {
        "org_id": "org_1",
        "jti": "j1",
        "auth_time": NOW - 5,
        "acr": "mfa",
        "amr": ["pwd", "otp"],
        "iat": NOW - 0.5,
    }
    token = check(claims_of(extra), POLICY, typ=None, now=NOW, kid="k1")

    assert (token.org_id, token.jti, token.auth_time, token.acr) == ("org_1", "j1", NOW - 5, "mfa")
    assert (token.amr, token.issued_at, token.key_id) == (("pwd", "otp"), NOW - 1, "k1")


def test_access_token_is_frozen_and_its_repr_tells_no_claims():
    """One AccessToken is shared by all requests that bring the same token (V1)."""
    token = accepted({"email": "person@example.com"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.kind = "client"
    with pytest.raises(TypeError):
        token.claims["sub"] = "other"
    assert "person@example.com" not in repr(token)


# iss


@pytest.mark.parametrize(
    "iss",
    [
        "https://tenant.example",
        "https://tenant.example//",
        "https://TENANT.example/",
        "http://tenant.example/",
        ISSUER + " ",
        ISSUER + "x",
        "",
        None,
        1,
        [ISSUER],
        {"a": ISSUER},
    ],
)
def test_check_when_iss_is_not_exactly_ours_is_wrong_issuer(iss: object):
    """T15: `iss` exact, trailing slash included."""
    assert refusal({"iss": iss}) is Reason.WRONG_ISSUER


def test_check_when_iss_is_another_name_of_the_tenant_keeps_it():
    """T11: Several issuers are several names of ONE tenant."""
    assert accepted({"iss": "https://login.example/"}).issuer == "https://login.example/"


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "sub"])
def test_check_when_a_required_claim_is_absent_is_missing_claim(name: str):
    """T15: Absent `iss`, `aud`, `exp`, `sub`: `missing_claim`."""
    assert refusal({name: DELETED}) is Reason.MISSING_CLAIM


# aud


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["x", AUDIENCE], "api://other", [AUDIENCE, AUDIENCE]])
def test_check_when_aud_names_us_is_accepted(aud: object):
    """T15: `aud` a string or an array of strings, one of which equals a configured audience exactly."""
    assert AUDIENCE in accepted({"aud": aud}).audience or aud == "api://other"


@pytest.mark.parametrize(
    "aud", ["", [], "x", ["x", ""], AUDIENCE + "x", AUDIENCE[:-1], AUDIENCE.upper(), [f" {AUDIENCE}"]]
)
def test_check_when_aud_is_another_is_wrong_audience(aud: object):
    """RFC 9068 §4: MUST reject any JWT … whose "aud" does not contain a resource indicator of the current resource."""
    assert refusal({"aud": aud}) is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize("aud", [None, 1, True, {}, {AUDIENCE: 1}, [AUDIENCE, 1], [[AUDIENCE]], [None]])
def test_check_when_aud_is_of_another_type_is_malformed(aud: object):
    """T15: `aud` a string or an array of strings."""
    assert refusal({"aud": aud}) is Reason.MALFORMED_CLAIMS


# times


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_check_when_a_time_is_no_finite_number_is_malformed(name: str, value: object):
    """T15: `exp`, `nbf`, `iat` are finite JSON numbers, not strings, not booleans."""
    assert refusal({name: value}) is Reason.MALFORMED_CLAIMS


def test_check_when_exp_is_in_milliseconds_is_malformed():
    """A token must not live for fifty thousand years because its issuer counts otherwise."""
    assert refusal({"exp": (NOW + 60) * 1000}) is Reason.MALFORMED_CLAIMS


@pytest.mark.parametrize("exp", [NOW - SKEW, NOW - SKEW - 0.5, 0, -1, -1.5])
def test_check_when_expired_is_refused(exp: float):
    """RFC 7519 §4.1.4: "exp": the time on or after which the JWT MUST NOT be accepted; T15: with the skew."""
    assert refusal({"exp": exp, "iat": DELETED}) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize("exp", [NOW - SKEW + 1, NOW - SKEW + 0.5, NOW, NOW + 1e9])
def test_check_when_not_expired_within_the_skew_is_accepted(exp: float):
    """T15: `CLOCK_SKEW_SECONDS` (30, at most 120) applies to all three."""
    assert accepted({"exp": exp}).expires_at == exp


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_check_when_not_yet_valid_is_refused_beyond_the_skew(name: str):
    """RFC 7519 §4.1.5: "nbf": the time before which the JWT MUST NOT be accepted; T15: so with `iat`."""
    assert accepted({name: NOW + SKEW})
    assert accepted({name: 0})
    assert accepted({name: -1})
    assert refusal({name: NOW + SKEW + 1}) is Reason.TOKEN_NOT_YET_VALID


@pytest.mark.parametrize(
    ("changes", "ahead_seconds"),
    [({"iat": NOW + 90}, 90), ({"nbf": NOW + 80}, 80), ({"nbf": NOW + 70, "iat": NOW + 90}, 70)],
)
def test_check_when_it_begins_in_the_future_says_how_far(changes: dict[str, Any], ahead_seconds: int):
    """T15: An `nbf` or `iat` beyond it in the future is refused and logged as probably OUR clock's fault."""
    with pytest.raises(NotYetValid) as refused:
        accepted(changes)
    assert refused.value.ahead_seconds == ahead_seconds
    assert refused.value.reason is Reason.TOKEN_NOT_YET_VALID


def test_check_when_nbf_is_in_the_future_and_iat_malformed_names_nbf():
    """§2: `exp`, `nbf`/`iat`: the first fault in this order names the code."""
    assert refusal({"nbf": NOW + 90, "iat": "now"}) is Reason.TOKEN_NOT_YET_VALID
    assert refusal({"nbf": "now", "iat": NOW + 90}) is Reason.MALFORMED_CLAIMS


@pytest.mark.parametrize("dialect", ["auth0", "auth0_rbac"])
def test_check_when_iat_is_absent_is_accepted(dialect: str):
    """T15 names what is required, and `iat` is not among it; T24: no `iat` counts as 0."""
    assert accepted({"iat": DELETED}, dialect=dialect).issued_at is None


# sub, scope, permissions and other names


@pytest.mark.parametrize("name", ["sub", "client_id", "azp", "org_id", "jti"])
@pytest.mark.parametrize("value", NOT_TEXTS)
def test_check_when_a_name_is_no_short_string_is_malformed(name: str, value: object):
    """T16: `sub` a non-empty string of at most 255 characters; the other names are held to the same."""
    assert refusal({name: value}) is Reason.MALFORMED_CLAIMS


def test_check_when_sub_is_long_or_beyond_ascii_is_accepted():
    """T16: at most 255 characters."""
    for subject in ("a" * 255, "é" * 255, "waad|日本 語\u00a0x"):
        assert accepted({"sub": subject}).subject == subject


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (DELETED, set()),
        ("", set()),
        (" ", set()),
        ("a", {"a"}),
        (" a  b a ", {"a", "b"}),
        ("read:profile\twrite:profile", {"read:profile\twrite:profile"}),
        ("read:profile\u00a0x", {"read:profile\u00a0x"}),
    ],
)
def test_check_when_scope_is_a_string_splits_it_at_spaces(scope: object, words: set[str]):
    """RFC 6749 §3.3: a list of space-delimited, case-sensitive strings; a tab or a no-break space is no delimiter."""
    assert accepted({"scope": scope}).scopes == words


@pytest.mark.parametrize("scope", [None, True, 1, [], ["read:profile"], {"read:profile": 1}])
def test_check_when_scope_is_no_string_is_malformed(scope: object):
    """T16: `scope` a space-separated string, if present."""
    assert refusal({"scope": scope}) is Reason.MALFORMED_CLAIMS


@pytest.mark.parametrize("scp", ["a b", ["a", "b"]])
def test_check_when_scope_claim_is_scp_takes_an_array_too(scp: object):
    """T16: `SCOPE_CLAIM=scp` also takes an array; an element is one scope, whatever it holds."""
    assert accepted({"scp": scp}, SCP).scopes == {"a", "b"}
    assert accepted({"scp": ["a b"]}, SCP).scopes == {"a b"}
    assert accepted({"scp": DELETED}, SCP).scopes == set()


@pytest.mark.parametrize("scp", [None, 1, True, {}, ["a", 1], [["a"]], [None]])
def test_check_when_scp_is_neither_is_malformed(scp: object):
    """T16: `SCOPE_CLAIM=scp` also takes an array."""
    assert refusal({"scp": scp}, SCP) is Reason.MALFORMED_CLAIMS


@pytest.mark.parametrize("name", ["permissions"])
@pytest.mark.parametrize("value", [None, "read:profile", 1, True, {}, ["a", 1], [["a"]], [None]])
def test_check_when_a_list_is_no_array_of_strings_is_malformed(name: str, value: object):
    """T16: `permissions` an array of strings, if present."""
    assert refusal({name: value}) is Reason.MALFORMED_CLAIMS


def test_check_when_client_id_and_azp_differ_is_refused():
    """T18: client_id (`client_id` or `azp`; both and different is a refusal)."""
    assert refusal({"client_id": "other"}) is Reason.MALFORMED_CLAIMS
    assert accepted({"client_id": CLIENT_ID}).client_id == CLIENT_ID
    assert accepted({"azp": DELETED}).client_id is None


def test_check_when_acr_and_auth_time_stand_elsewhere_reads_them_there():
    """T23: `auth_time` and `acr` come from the token or from a namespaced claim named in settings."""
    policy = dataclasses.replace(
        POLICY, acr_claim="https://a.example/acr", auth_time_claim="https://a.example/auth_time"
    )
    named = {"https://a.example/acr": "mfa", "https://a.example/auth_time": NOW - 9}
    standard = {"acr": "pwd", "auth_time": NOW - 99}

    assert (accepted(named, policy).acr, accepted(named, policy).auth_time) == ("mfa", NOW - 9)
    assert (accepted({**standard, **named}, policy).acr, accepted(standard, policy).acr) == ("mfa", "pwd")


@pytest.mark.parametrize("name", ["auth_time", "https://a.example/auth_time"])
@pytest.mark.parametrize("value", [*NOT_NUMBERS, "yesterday", [NOW], {"seconds": NOW}, NOW * 1000])
def test_check_when_auth_time_is_no_time_is_as_if_absent(name: str, value: object):
    """T23: One that cannot be understood counts as absent; the standard one does not step in for it."""
    policy = dataclasses.replace(POLICY, auth_time_claim="https://a.example/auth_time")
    changes = {"auth_time": NOW} | {name: value}
    assert accepted(changes, policy).auth_time is None


@pytest.mark.parametrize("name", ["acr", "https://a.example/acr"])
@pytest.mark.parametrize("value", [*NOT_TEXTS, ["mfa"]])
def test_check_when_acr_is_no_name_is_as_if_absent(name: str, value: object):
    """T23: One that cannot be understood counts as absent; the standard one does not step in for it."""
    policy = dataclasses.replace(POLICY, acr_claim="https://a.example/acr")
    changes = {"acr": "mfa"} | {name: value}
    assert accepted(changes, policy).acr is None


@pytest.mark.parametrize("value", [None, True, 1, "pwd", {}, {"pwd": 1}, ["pwd", 1], [["pwd"]]])
def test_check_when_amr_is_no_array_of_strings_is_as_if_absent(value: object):
    """T23: One that cannot be understood counts as absent."""
    assert accepted({"amr": value}).amr == ()


# other tokens of the same tenant


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "n"},
        {"nonce": None},
        {"at_hash": "h"},
        {"c_hash": "h"},
        {"sid": "s", "scope": DELETED},
        {"aud": CLIENT_ID},
        {"aud": [CLIENT_ID]},
        {"typ": "ID"},
        {"token_use": "id"},
        {"token_type": "id_token"},
    ],
)
def test_check_when_id_token_is_named_as_such(changes: dict[str, Any]):
    """T17: an ID token (`nonce`, `at_hash`, `c_hash`; or `sid` without `scope`; or `aud` equal to `azp`)."""
    assert refusal(changes) is Reason.ID_TOKEN_USED


def test_check_when_an_id_token_of_auth0_is_complete_is_named_before_its_aud():
    """T17: Before `aud`: what a developer sends by mistake is said to be an ID token, not a wrong audience."""
    id_token = {"aud": CLIENT_ID, "azp": DELETED, "scope": DELETED, "nonce": "n", "sid": "s", "email": "a@example.com"}
    assert refusal(id_token) is Reason.ID_TOKEN_USED


def test_check_when_access_token_bears_a_mark_beside_its_scope_is_accepted():
    """T17: `sid` without `scope`; and `typ: at+jwt` in the header overrules the `nonce` mark (older Keycloak)."""
    assert accepted({"sid": "s"})
    assert accepted({"sid": "s", "scope": DELETED, "scp": "a"}, SCP)
    assert accepted({"nonce": "n"}, typ="at+jwt")
    assert refusal({"nonce": "n"}, typ="jwt") is Reason.ID_TOKEN_USED
    assert refusal({"at_hash": "h"}, typ="at+jwt") is Reason.ID_TOKEN_USED


@pytest.mark.parametrize("name", ["token_use", "token_type", "typ"])
@pytest.mark.parametrize("word", ["refresh", "Refresh", "Offline", "Logout", "", None, 1, ["Bearer"]])
def test_check_when_a_token_calls_itself_otherwise_is_wrong_type(name: str, word: object):
    """T17: a refresh or logout token that happens to be a JWT (`token_use`, `token_type`, claim `typ`, `events`)."""
    assert refusal({name: word}) is Reason.WRONG_TYPE


@pytest.mark.parametrize(
    "changes",
    [
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "s", "scope": DELETED},
        {"typ": "Refresh", "aud": ISSUER, "nonce": "n", "sid": "s"},
    ],
)
def test_check_when_logout_or_refresh_token_has_marks_of_id_tokens_is_still_wrong_type(changes: dict[str, Any]):
    """T17: `wrong_type`; OpenID Back-Channel Logout §2.4: a logout token has `events`, and may have `sid`."""
    assert refusal(changes) is Reason.WRONG_TYPE


@pytest.mark.parametrize("changes", [{"token_use": "access"}, {"typ": "Bearer"}, {"token_type": "Bearer"}])
def test_check_when_a_token_calls_itself_access_token_is_accepted(changes: dict[str, Any]):
    """T17: Cognito writes `token_use: access`, Keycloak `typ: Bearer`."""
    assert accepted(changes)


# kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "user"),
        ({"gty": "client-credentials"}, "client"),
        ({"gty": "password"}, "user"),
        ({"gty": "refresh_token"}, "user"),
        ({"gty": ["client-credentials"]}, "user"),
        ({"sub": f"{CLIENT_ID}@clients"}, "client"),
        ({"sub": "anon@clients"}, "client"),
        ({"sub": CLIENT_ID}, "client"),
        ({"sub": "anon@7f"}, "anonymous"),
        ({"sub": "auth0|anon@x"}, "user"),
    ],
)
def test_check_tells_users_from_clients_and_the_anonymous(changes: dict[str, Any], kind: str):
    """T18: kind is `client` if `gty` is `client-credentials`, or `sub` ends in `@clients`, or `sub == client_id`; …"""
    assert accepted(changes).kind == kind


# cnf

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize(
    "cnf",
    [
        *(
            {"jkt": jkt}
            for jkt in ("x", "", 7, None, [JKT], JKT + "=", JKT[:-1], JKT + "A", JKT[:-1] + "+", JKT + "\n")
        ),
        {"jkt": JKT, "x5t#S256": JKT},
        {"x5t#S256": JKT},
        {"jwk": {}},
        *({}, [], "", JKT, 0, False, True, None),
    ],
)
def test_check_when_bound_in_a_way_that_cannot_be_proven_here_refuses(cnf: object):
    """T19: A token with a `cnf` that this API cannot check is refused, never treated as plain bearer."""
    assert refusal({"cnf": cnf}) is Reason.PROOF_REQUIRED


def test_check_when_bound_to_a_key_says_which():
    """RFC 9449 §6.1: the jkt member of cnf is the thumbprint of the key that the token is bound to."""
    token = accepted({"cnf": {"jkt": JKT}})
    assert (token.bound_to, token.cnf) == (JKT, {"jkt": JKT})
    assert accepted({}).bound_to is None


# what a denylist knows a token by


def test_check_when_there_is_a_jti_knows_the_token_by_it():
    """T24: a denylist of a token: `jti`, …"""
    assert accepted({"jti": "one"}, signing_input=b"x").token_id == "one"


def test_check_when_there_is_no_jti_knows_the_token_by_what_was_signed():
    """T24: … or the SHA-256 of its signing input where there is none; of an ECDSA token anyone makes a second one."""
    known = accepted({}, signing_input=b"header.payload").token_id
    assert known == "sha256:" + hashlib.sha256(b"header.payload").hexdigest()
    assert accepted({}, signing_input=b"header.payloae").token_id != known


# profile


@pytest.mark.parametrize("name", ["client_id", "iat", "jti"])
def test_check_when_profile_is_rfc9068_demands_its_claims(name: str):
    """RFC 9068 §2.2: client_id, iat and jti are REQUIRED; T8."""
    assert accepted({}, RFC9068, dialect="rfc9068", typ="at+jwt")
    assert refusal({name: DELETED}, RFC9068, dialect="rfc9068", typ="at+jwt") is Reason.MISSING_CLAIM


def test_check_when_profile_is_rfc9068_takes_no_azp_for_client_id():
    """RFC 9068 §2.2: client_id REQUIRED."""
    changes = {"client_id": DELETED, "azp": CLIENT_ID}
    assert refusal(changes, RFC9068, dialect="rfc9068", typ="at+jwt") is Reason.MISSING_CLAIM


# order, policy, anything


def test_check_when_several_faults_names_the_first():
    """§2: ID- and refresh-token marks, `aud`, `exp`, `nbf`/`iat`, types of `sub`/`scope`, `cnf`."""
    faults: dict[str, Any] = {
        "iss": "x",
        "nonce": "n",
        "aud": "x",
        "exp": 1,
        "nbf": NOW + 999,
        "iat": NOW + 999,
        "sub": 1,
        "cnf": {},
    }
    codes = []
    for name in list(faults):
        codes.append(refusal(faults).code)
        del faults[name]

    assert codes == [
        "wrong_issuer",
        "id_token_used",
        "wrong_audience",
        "token_expired",
        "token_not_yet_valid",
        "token_not_yet_valid",
        "malformed_claims",
        "proof_required",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuers": ()},
        {"issuers": ("",)},
        {"audiences": frozenset()},
        {"audiences": frozenset({""})},
        {"algorithms": ()},
        {"algorithms": ("RS256", "none")},
        {"algorithms": ("HS256",)},
        {"clock_skew_seconds": -1},
        {"clock_skew_seconds": MAX_SKEW_SECONDS + 1},
    ],
)
def test_policy_when_it_would_let_anything_in_cannot_be_made(changes: dict[str, Any]):
    """T7: `none` and HS* can never be configured: start-up failure; T15: the skew is at most 120."""
    with pytest.raises(ValueError):
        dataclasses.replace(POLICY, **changes)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([ISSUER, AUDIENCE, CLIENT_ID, NOW, NOW + 99, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "iss",
        "aud",
        "exp",
        "nbf",
        "iat",
        "sub",
        "scope",
        "scp",
        "permissions",
        "client_id",
        "azp",
        "org_id",
        "jti",
        "auth_time",
        "acr",
        "amr",
        "cnf",
        "gty",
        "nonce",
        "sid",
        "at_hash",
        "events",
        "typ",
        "token_use",
    ]
)


@given(
    st.dictionaries(NAMES, JSON, max_size=4), st.sampled_from([POLICY, SCP, RFC9068]), st.sampled_from([None, "at+jwt"])
)
def test_check_whatever_the_claims_hold_gives_a_token_or_refuses(
    changes: dict[str, Any], policy: TokenPolicy, typ: str | None
):
    """T14: Nothing that a token can hold gives a 500."""
    outcome = outcome_of(lambda: check({**claims_of(), **changes}, policy, typ=typ, now=NOW))
    assert isinstance(outcome, AccessToken | Reason)


@given(st.dictionaries(NAMES, JSON))
def test_check_whatever_stands_alone_is_a_token_or_refused(claims: dict[str, Any]):
    """T14: Nothing that a token can hold gives a 500."""
    outcome = outcome_of(lambda: check(claims, POLICY, typ=None, now=NOW))
    assert isinstance(outcome, AccessToken | Reason)


# what a changed line of the room would let through


@pytest.mark.parametrize("skew_seconds", [0, MAX_SKEW_SECONDS])
def test_policy_when_the_skew_is_at_an_end_of_its_range_can_be_made(skew_seconds: int):
    """T15: `CLOCK_SKEW_SECONDS` (30, at most 120); none is allowed, too."""
    policy = dataclasses.replace(POLICY, clock_skew_seconds=skew_seconds)
    assert accepted({"exp": NOW - skew_seconds + 1, "iat": NOW + skew_seconds}, policy)
    assert refusal({"exp": NOW - skew_seconds}, policy) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuers": ()}, "a token policy needs an issuer and an audience"),
        (
            {"algorithms": ("none",)},
            "algorithms must be some of RS256, RS384, RS512, PS256, ES256, ES384, EdDSA",
        ),
        ({"clock_skew_seconds": 121}, "the clock skew must be 0 to 120 seconds"),
    ],
)
def test_policy_when_it_cannot_be_made_says_what_is_allowed(changes: dict[str, Any], why: str):
    """T7: start-up failure: an operator reads this text."""
    with pytest.raises(ValueError) as failed:
        dataclasses.replace(POLICY, **changes)
    assert str(failed.value) == why


def test_check_when_a_name_is_one_character_long_is_accepted():
    """T16: `sub` a non-empty string."""
    token = accepted({"sub": "a", "azp": "b", "jti": "c"})
    assert (token.subject, token.client_id, token.jti) == ("a", "b", "c")


def test_check_when_a_time_is_the_last_second_of_a_datetime_is_accepted():
    """T15: finite numbers; what the database can hold is held, at both ends."""
    last = 253_402_300_799
    assert accepted({"exp": last, "nbf": -last}).expires_at == last
    assert refusal({"exp": last + 1}) is Reason.MALFORMED_CLAIMS
    assert refusal({"nbf": -last - 1}) is Reason.MALFORMED_CLAIMS


def test_check_when_sid_stands_beside_either_scope_claim_is_accepted():
    """T17: `sid` without `scope` marks an ID token, also where the scopes of this tenant stand in `scp`."""
    assert accepted({"sid": "s", "scp": DELETED, "scope": "a"}, SCP)
    assert refusal({"sid": "s", "scp": DELETED, "scope": DELETED}, SCP) is Reason.ID_TOKEN_USED


def test_profile_when_just_its_claims_are_there_is_kept():
    """RFC 9068 §2.2: client_id, iat and jti are REQUIRED, and it takes no other claim to have them."""
    require_profile({"client_id": CLIENT_ID, "iat": NOW, "jti": "j"})


def test_check_when_nothing_signed_is_told_names_the_token_by_nothing():
    """T24: what a token without `jti` is named by is its signing input, and no other text."""
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert accepted({"jti": DELETED}).token_id == f"sha256:{digest}"


def test_check_when_tokens_say_the_same_then_they_share_it_and_nothing_else():
    """A worker that remembers 10 000 tokens holds what they repeat once."""
    shared = {"scope": "read:profile write:preferences", "azp": "app", "client_id": DELETED, "aud": [AUDIENCE, "more"]}
    first, second = (accepted({**copied(shared), "sub": f"auth0|{number}", "extra": [1]}) for number in range(2))

    assert first.scopes is second.scopes
    for name in ("iss", "azp", "scope"):
        assert first.claims[name] is second.claims[name]
    assert first.claims["aud"] == second.claims["aud"] == [AUDIENCE, "more"]
    assert first.claims["aud"] is not second.claims["aud"]
    assert first.claims["aud"][1] is second.claims["aud"][1]
    assert (first.subject, second.subject) == ("auth0|0", "auth0|1")


@pytest.mark.parametrize("odd", [{"scp": 1}, {"scp": ["a", 2]}, {"scp": None}, {"scp": {"a": "b"}}])
def test_check_when_a_claim_that_nobody_reads_is_odd_then_kept_as_it_is(odd: dict[str, Any]):
    assert accepted(odd).claims["scp"] == odd["scp"]


def test_check_when_scopes_come_as_an_array_then_shared_too():
    first, second = (accepted({"scp": ["a", "b"], "scope": DELETED}, SCP) for _ in range(2))
    assert first.scopes == {"a", "b"}
    assert first.scopes is second.scopes


def copied(claims: dict[str, Any]) -> dict[str, Any]:
    """The same values in objects of their own, as two documents give them; a constant would be one object anyway."""
    return {name: "".join(list(value)) if isinstance(value, str) else value for name, value in claims.items()}
