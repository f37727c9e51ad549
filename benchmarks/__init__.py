"""Side by side with peers on the same machine; `make bench` writes docs/performance.md.

figures      medians, ratios to the bare route of the same round, targets
credentials  a key, its tokens, and the JWKS server that the quickstart asks
peers        what others do: a bare Flask route, the common quickstart
servers      gunicorn with one worker, watched from outside: processor time, memory
load         the bounded load generator
in_process   the token core alone, without HTTP
rounds       interleaved rounds over all servers
report       the terminal's lines and docs/performance.md
"""
