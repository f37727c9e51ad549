"""The operator's side of the API: commands under `flask --app wsgi`.

db             bring the database to the newest schema, or back
purge          erase the accounts whose grace has passed
revoke         refuse a token, a user, an app or a key from now on, on every host
doctor         is everything around the API as it should be (examination/)
explain-token  would the API accept this token, and if not, why (diagnosis/)
"""
