"""What the operator has withdrawn: tokens, users, apps and keys.

rules  a Denylist → is this token, or the key that signed it, refused?
entry  one revocation, how two of them join, and what names a token
watch  the Denylist of this process, never older than a few seconds
"""
