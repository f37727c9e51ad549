"""What the token core's Protocols need kept: shared by the workers and hosts of one API.

Knows the token core and the database; is known to the commands and the factory.
"""
