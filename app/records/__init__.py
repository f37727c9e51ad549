"""The records domain: collections, records, preferences, the change feed, the batch. No Flask, no token, no settings.

writing        one write: create, put, patch, delete a record; put and patch the preferences; patch the profile
batch          many of them in one transaction, independent or all-or-nothing
clearing       every record of a collection goes
reading        one record; a page of a collection's records
overview       the collections of a user, and the usage
changes        what has changed since a cursor
preferences    the preferences, read and written
tombstones     the purge of deletions that nobody needs any more
export         all that is stored of a user, as lines
operations     what is wished, as data;  operation_shapes: the same from JSON
preconditions  If-Match and If-None-Match, parsed
terms          what the operator allows: limits, and the rules of single collections
draft          the write path: the user's rows as they will be, under the user's lock
documents      the shapes of answers;  record: the data that they are made of
cursor         how far a device has read
names          which collections and ids there can be
models         the tables
errors         what the domain refuses
"""
