"""What stands behind `flask revoke`.

listing    what is revoked, for people and for programs; whom a shortened value means
spelling   does anybody bear the name that was just revoked?
"""
