"""The only Flask rooms.

policy      what a route asks of the caller: the decorators        auth        asks it, before every request
scopes      every scope with its description                       problems    every fault becomes problem+json
catalogue   every problem code beside the token's                  runtime     what the routes work with
json_body   a request's JSON, bounded and strict                   conditional ETag, If-Match, If-None-Match
answers     JSON answers and their caching fields                  request_log request id, one line per request
log         how the log is written                                 openapi/    the document, from schemas and policies
docs        the page that shows it
schemas     the shapes of answers                                  problem_pages /problems/{code}
visit       the account of whoever comes by                        readiness   says once when /readyz changes
index, whoami, me, deletion, health, metadata: the routes
"""
