"""Keep a folder of JSON files in step with the user's collections: what an offline-first app does, and no more.

Takes   an Api, a Folder, whose it is;  say: tells the person;  progress: how far a long work has come
Gives   in_step(…): Tally of what was sent, received, removed, and kept beside each other
Raises  what the Api raises; Unavailable while another sync of the folder runs. It may be cut short anywhere
Not     files (folder.py), tokens, waiting and refreshing (api.py), the profile and the preferences
Source  N6; docs/sync.md; user-data.md §2, §3, U4, U15

First everything that was changed here is sent, on condition that nobody else has changed it (if_match, or
if_none_match where it is new); then the changes are read and applied. A write that was carried out, and whose answer
was lost, is refused the second time with `current`, which is just what was sent: that is no conflict.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from native.api import Api
from native.errors import ApiRefused, Unavailable
from native.folder import File, Folder, digest_of, is_key
from native.lock import exclusive

BATCH, PAGE, ROUNDS = 100, 500, 5
_SUCCESS = 300
_NOT_THERE, _REFUSED_VERSION = 404, 412
# About one body alone: in smaller parts, the rest of it may pass.
_OF_THE_BODY = {"payload_too_large", "malformed_json", "validation_failed"}
_ANEW = {"cursor_expired", "bad_cursor"}
Wish = tuple[str, File | None, dict[str, Any]]


@dataclass
class Tally:
    """What was done."""

    sent: int = 0
    received: int = 0
    removed: int = 0
    conflicts: int = 0
    left_alone: int = 0


def in_step(
    api: Api,
    folder: Folder,
    owner: str,
    *,
    say: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Tally:
    """Send, then read, until nothing is left to be sent."""
    folder.own.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder.own / "lock", 0))
        except Unavailable as error:
            raise Unavailable("Another sync of this folder is under way.", "Wait for it, then try again.") from error
        work = _Sync(api, folder, owner, say, progress)
        wishes = work.wishes()
        for _ in range(ROUNDS):
            work.push(wishes)
            work.pull()
            wishes = work.wishes()
            if not wishes:
                break
        return work.tally


class _Sync:
    def __init__(
        self, api: Api, folder: Folder, owner: str, say: Callable[[str], None], progress: Callable[[str, int], None]
    ) -> None:
        self._api, self._folder, self._say, self._progress = api, folder, say, progress
        self._state = folder.load(owner)
        self._left_alone: set[str] = set()
        self.tally = Tally()

    def wishes(self) -> list[Wish]:
        """What was made, changed and removed here since the last sync, as operations of a batch."""
        known = self._state.files
        held = self._folder.scan(lambda name: self._leave(name, "no <collection>/<id>.json"))
        found: list[Wish] = []
        for key in sorted(held.keys() | known.keys()):
            file = held.get(key)
            if file is not None and file.fault:
                self._leave(key, f"no JSON: {file.fault}")
            if key in self._left_alone or (file and key in known and file.digest == known[key][1]):
                continue
            collection, _, record_id = key.partition("/")
            condition = {"if_match": known[key][0]} if key in known else {"if_none_match": "*"}
            what = {"op": "delete"} if file is None else {"op": "put", "data": file.data}
            found.append((key, file, {**what, "collection": collection, "id": record_id, **condition}))
        return found

    def push(self, wishes: list[Wish]) -> None:
        """Send them, a hundred at a time; what came of them is remembered after each batch."""
        for start in range(0, len(wishes), BATCH):
            batch = wishes[start : start + BATCH]
            for (key, file, _), result in zip(batch, self._results(batch), strict=True):
                self._settle(key, file, result)
            self._folder.save(self._state)
            self._progress("sent", start + len(batch))

    def pull(self) -> None:
        """Read what is new, page by page. The cursor is remembered after its page: applying it twice does no harm."""
        state, count, has_more = self._state, 0, True
        while has_more:
            query = {"limit": PAGE} | ({} if state.cursor is None else {"cursor": state.cursor})
            try:
                page = self._api.call("GET", f"/v1/changes?{urlencode(query)}").json()
            except ApiRefused as refused:
                if refused.code not in _ANEW or state.cursor is None:
                    raise
                state.cursor, state.unseen = None, dict.fromkeys(state.files, True)
                continue
            for change in page["changes"]:
                if change["kind"] == "record":
                    self._apply(change)
            has_more = page["has_more"]
            if not has_more:
                for key in state.unseen or ():
                    self._forget(key)  # what the server no longer has, and no longer remembers
                state.unseen = None
            state.cursor = page["cursor"]
            self._folder.save(state)
            count += len(page["changes"])
            self._progress("read", count)

    def _results(self, batch: list[Wish]) -> list[dict[str, Any]]:
        body = json.dumps({"operations": [operation for *_, operation in batch]}).encode()
        try:
            answer = self._api.call("POST", "/v1/batch", body=body, fields={"Device-Id": self._state.device})
        except ApiRefused as refused:
            if refused.code not in _OF_THE_BODY:
                raise
            if len(batch) == 1:
                return [{"status": 0, "problem": {"code": refused.code, "detail": refused.message}}]
            middle = len(batch) // 2
            return self._results(batch[:middle]) + self._results(batch[middle:])
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def _settle(self, key: str, file: File | None, result: dict[str, Any]) -> None:
        status, current = result["status"], result.get("current")
        if "problem" not in result and status < _SUCCESS:
            self.tally.sent += 1
            if file is None:
                self._state.files.pop(key, None)
            else:
                self._state.files[key] = (result["etag"], file.digest)
        elif status not in {_NOT_THERE, _REFUSED_VERSION}:
            self._leave(key, f"{result['problem']['code']}: {result['problem']['detail']}")
        elif current is None or current.get("deleted"):
            # Deleted elsewhere. What was changed here outlives that: the next round sends it as new.
            self._state.files.pop(key, None)
        elif "data" in current:
            self._apply(current)
        # Else the answer had no room for it: the changes, which are read next, bring it.

    def _apply(self, record: dict[str, Any]) -> None:
        """Make the file what the server says, unless we know better; what was changed here is kept beside it."""
        key, state = f"{record['collection']}/{record['id']}", self._state
        if not is_key(key):
            return
        known = state.files.get(key)
        if state.unseen and key in state.unseen:
            del state.unseen[key]
        elif known and record["seq"] <= int(known[0].strip('"')):
            return  # our own write, or one that it has overwritten
        if record.get("deleted"):
            self._forget(key)
            return
        file, digest = self._folder.read(key), digest_of(record["data"])
        if file is None or file.digest != digest:
            if file and (known is None or file.digest != known[1]):
                self.tally.conflicts += 1
                self._say(f"{key}: changed here and elsewhere; yours is {self._folder.put_aside(key, state.device)}")
            self._folder.write(key, record["data"])
            self.tally.received += 1
        state.files[key] = (record["etag"], digest)

    def _forget(self, key: str) -> None:
        """It is deleted at the server; a file that was changed here since stays, and is sent as new."""
        known, file = self._state.files.pop(key, None), self._folder.read(key)
        if known and file and file.digest == known[1]:
            self._folder.remove(key)
            self.tally.removed += 1

    def _leave(self, name: str, why: str) -> None:
        if name not in self._left_alone:
            self._left_alone.add(name)
            self.tally.left_alone += 1
            self._say(f"{name}: left alone, {why}")
