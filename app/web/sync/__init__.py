"""The routes of what apps store and sync: records, collections, preferences, changes, batch."""
