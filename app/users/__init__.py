"""The user domain: the account, its profile and attributes. No Flask, no token, no settings.

identity      who: the tenant and the subject, and the key that both give
profiles      the service: find, observe, patch, as_document
facts         what the tenant says of its user, made safe
account       the write path: the account's row, locked first
standing      whether an account may be used: open, in its grace, erased
deletion      the user's own say: delete the account, cancel that, begin anew
erasure       every row of a user goes; the purge of accounts whose grace has passed
exports       how many exports a user has begun in a day
operating     what the operator sees and sets of a user, and the record of it
validation    which members may be patched, and to what
merge_patch   RFC 7396
userinfo      the tenant's /userinfo: when it may be asked, and the asking
timestamps    times as the API writes them
models        the tables
errors        what the domain refuses
"""
