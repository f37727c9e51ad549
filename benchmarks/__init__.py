"""Side by side with peers on the same machine; `make bench` writes docs/performance.md.

figures      medians, ratios to the bare route of the same round, targets
credentials  a key, its tokens, and the JWKS server that the quickstart asks
peers        what others do: a bare Flask route, the common quickstart
validators   the same route behind Authlib, Auth0's SDK, flask-jwt-extended;  express/ on Node
environments what is installed for it, under var/bench
servers      gunicorn or Granian with one worker, watched from outside: processor time, memory
store        a Valkey of its own
contenders   who stands side by side, with which settings
load         the bounded load generator
in_process   the token core alone, without HTTP
rounds       interleaved rounds over all servers
flood        made-up keys beside good requests
report       the part about the token, and docs/performance.md, part by part

sync            the part about the sync, all of it
sync_run        what its measurements share
sync_databases  a PostgreSQL of its own, SQLite files
sync_data       users with many records
sync_plans      plans, buffers, steps
sync_size       1 000 records beside 100 000
kinto           the peer that syncs too
sync_peers      interleaved rounds beside it
sync_report     the tables
"""
