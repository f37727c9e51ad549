"""What stands behind `flask explain-token`: every check of the API, asked one by one and put into words.

pasted       the token, out of whatever was pasted
keys         the tenant's keys, as far as they can be had now
decoded      header and claims as they can be read, good or not
checks       every check in the API's order; header_words, claims_words: why one failed
demands      what a route asks beyond a good token
verdict      what the API would answer, asked of the API's own code
show         the whole, for people and as JSON
"""
