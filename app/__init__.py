"""Postern: the API that a native app calls.

factory    the one composition root: settings → database, key sources, verifier, blueprints
web        the only Flask rooms: authentication, problems, routes, health, metadata, request log
commands   `flask db …`
oauth      the token core: no Flask, no database, no settings
users      profile and attributes: no Flask, no token
db         engine, transactions
fetch      the one bounded GET by which requests leave this process
"""
