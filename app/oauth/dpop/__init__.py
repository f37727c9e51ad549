"""DPoP (RFC 9449): a token that is bound to a key is good with a proof of that key only.

check   one request's proof: made for this method, URL and token, fresh, and here for the first time
proof   the DPoP field → a key, claims and a signature that is still to be checked
url     this request's URL and the proof's, in one spelling
nonces  the server's nonces, kept nowhere
faults  what can be wrong with a proof, in a sentence each
"""
