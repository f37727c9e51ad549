"""The operator's side of the API: commands under `flask --app wsgi`.

db   bring the database to the newest schema, or back
"""
