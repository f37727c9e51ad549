"""One issuer's keys: found, fetched, kept fresh, served on through an outage.

jwks             a key set's document → the keys that may verify
discovery        an issuer's metadata → the address of its keys
source           where the verifier gets keys from; keys from a file
cache            one issuer's keys: who gets one, who must wait, who is refused
holder           the last good set of them, and one fetch at a time to replace it
download         one fetch of them, under one deadline
refresher        the thread that keeps them fresh
snapshot         the copy of them on disk
snapshot_keeper  when that copy is read and written
lifetimes        how long they count, and how long to wait after a failure
unknown          when an unknown `kid` may cost a fetch
"""
