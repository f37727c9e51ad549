"""How much a user may ask in a minute: counted, compared and told.

limiter          who is counted under which name, what is left, what stands in the fields
counters         counts of this process
shared_counters  counts of all workers and hosts, in Valkey or Redis
"""
