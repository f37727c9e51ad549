"""What stands behind `flask doctor`: each room looks at one side of the API and changes nothing.

edge       what can be told from the settings alone: address, proxy, header fields, log, DPoP
tenant     discovery, keys and clock of each issuer
storage    database, migrations, revocations, shared store, the copy of the keys on disk
"""
