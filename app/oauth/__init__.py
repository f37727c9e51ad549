"""The token core: is this an access token for this API, and what does it allow? No Flask, no database, no settings.

bearer         the Authorization header → the token in it
header         the token's three segments and its JOSE header
strict_json    JSON as a token may hold it: bounded, UTF-8, no name twice
claims         verified claims → AccessToken; TokenPolicy
access_token   AccessToken, the one principal of every dialect
scopes         what a route demands of an AccessToken
challenge      the WWW-Authenticate value
errors         the codes, their texts, and the exceptions that carry them

token_cache    tokens verified before, by digest
verifier       joins header, keys, signature, claims and cache

jwks           a key set's document → the keys that may verify
discovery      an issuer's metadata → the address of its keys
key_source     where the verifier gets keys from; keys from a file
key_cache      one issuer's keys: who gets one, who must wait, who is refused
key_holder     the last good set of them, and one fetch at a time to replace it
key_download   one fetch of them, under one deadline
refresher      the thread that keeps them fresh
key_snapshot   the copy of them on disk
snapshot_keeper  when that copy is read and written
lifetimes      how long they count, and how long to wait after a failure
unknown_keys   when an unknown `kid` may cost a fetch

The first group is pure: no I/O, no clock, no lock.
"""
