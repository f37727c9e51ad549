"""The token core: is this an access token for this API, and what does it allow? No Flask, no database, no settings.

bearer         the Authorization header → the scheme and the token in it
header         the token's three segments and its JOSE header
strict_json    JSON as a token may hold it: bounded, UTF-8, no name twice
claims         verified claims → AccessToken; TokenPolicy
access_token   AccessToken, the one principal of every dialect
scopes         what a route demands of an AccessToken and of the login behind it
challenge      the WWW-Authenticate value
reasons        the codes and their texts
errors         the exceptions that carry them

token_cache    tokens verified before, by digest
verifier       joins header, keys, signature, claims, denylist, proof and cache

keys/          one issuer's keys: found, fetched, kept fresh, served on through an outage
dpop/          the proof that comes with a bound token
revocation/    what the operator has withdrawn

The first group is pure: no I/O, no clock, no lock.
"""
