"""The operator's side of the API: commands under `flask --app wsgi`.

db             bring the database to the newest schema, or back
purge          erase and forget what is due: accounts, tombstones, kept answers, counted exports
revoke         refuse a token, a user, an app or a key from now on, on every host
users          see a user's account, set roles and attributes, and who did so (operating/)
doctor         is everything around the API as it should be (examination/)
explain-token  would the API accept this token, and if not, why (diagnosis/)
"""
