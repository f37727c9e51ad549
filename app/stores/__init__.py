"""What the workers and hosts of one API share beside the users' data: what the token core needs kept, kept answers.

Knows the token core, the domain and the database; is known to the web rooms, the commands and the factory.
"""
