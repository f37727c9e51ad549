"""Devices that write over HTTP, in every way there is, and remember what they were promised.

Takes   a Client, a Ledger; whether to send Idempotency-Key, whether an answer may fail to come
Gives   Writer: turn() carries out one request;  Ledger: what was acknowledged, what was given up
Raises  NoAnswer where that must not happen
Not     the reckoning (reckoning.py)
Source  docs/contracts/user-data.md U2, U4, U5, U15, §3
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

from tests.support.sync_client import Answer, Client, Key, NoAnswer

COLLECTIONS = ("notes", "tasks")
# Few enough for the writers to meet at them all the time.
SHARED = 12
BATCH = 10
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Effect:
    """An acknowledged version. Of a merge, `data` is what must be in it: a batch's answer tells the number alone."""

    key: Key
    seq: int
    data: Mapping[str, Any] | None
    is_whole: bool = True

    def agrees(self, key: Key, data: Mapping[str, Any] | None) -> bool:
        """Tell whether the version that bears this number elsewhere can be this one."""
        if key != self.key or data is None or self.data is None:
            return key == self.key and data is self.data
        return data == self.data if self.is_whole else self.data.items() <= data.items()


@dataclass(slots=True)
class Ledger:
    """What the writers of one user know.

    `given_up`: batches of new records whose answer never came and which nobody has sent again; `whole`: those that
    were acknowledged. `unknown`, `hung_up`, `replayed`, `later`: requests whose connection broke, whose device did
    not wait for the answer, whose answer was a kept one, or "later".
    """

    effects: list[Effect] = field(default_factory=list)
    given_up: list[dict[Key, Any]] = field(default_factory=list)
    whole: list[dict[Key, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unknown: int = 0
    hung_up: int = 0
    replayed: int = 0
    later: int = 0


class Writer:
    """One device. Each of its requests is of another kind, by chance.

    `keyed`: half of the requests, or where it is `patient` all of them, have an Idempotency-Key: some are sent twice,
    some by a device that hangs up before the answer and asks again. `patient`: where no answer comes the request is
    sent again, with the same key if it has one; some batches are given up instead.
    """

    def __init__(self, client: Client, name: str, ledger: Ledger, *, keyed: bool, patient: bool = False) -> None:
        self.client, self.name, self.ledger = client, name, ledger
        self._keyed, self._patient = keyed, patient
        self._turn = 0
        self._own: list[Key] = []

    def turn(self) -> None:
        """Carry out one request."""
        self._turn += 1
        random.choices(list(self._KINDS), list(self._KINDS.values()))[0](self)

    def _put_new(self) -> None:
        """Without a key: whoever asks again is told 412, and finds his own."""
        key, data = self._new_key(), self._data()
        answer = self._send("PUT", _path(key), {"data": data}, is_keyed=False, If_None_Match="*")
        if answer.status == 412 and self.ledger.unknown:
            self._expect(answer.document["current"]["data"] == data, "somebody else's record under a new id", answer)
            self.ledger.effects.append(Effect(key, answer.document["current"]["seq"], data))
        else:
            self._expect(answer.status == 201, "a new record was not created", answer)
            self._take_down(key, data, answer)
        self._own.append(key)

    def _put_shared(self) -> None:
        key, data = _shared_key(), self._data()
        self._take_down(key, data, self._send("PUT", _path(key), {"data": data}))

    def _create(self) -> None:
        collection, data = random.choice(COLLECTIONS), self._data()
        answer = self._send("POST", f"/v1/collections/{collection}/records", {"data": data})
        key = collection, answer.document.get("id", "")
        self._take_down(key, data, answer)
        self._own.append(key)

    def _patch(self) -> None:
        key, merged = _shared_key(), self._mark()
        answer = self._send("PATCH", _path(key), {"data": merged})
        if answer.status in {404, 410}:
            return
        self._take_down(key, merged, answer, is_whole=False)
        self._expect(merged.items() <= answer.document.get("data", {}).items(), "a merge is not in the answer", answer)

    def _delete(self) -> None:
        is_own = bool(self._own) and random.random() < 0.5
        key = self._own.pop(random.randrange(len(self._own))) if is_own else _shared_key()
        answer = self._send("DELETE", _path(key))
        if answer.status == 404 and not is_own:
            return
        self._expect(answer.status == 204, "a deletion was refused", answer)
        if answer.status == 204:
            self.ledger.effects.append(Effect(key, answer.seq, None))

    def _batch(self) -> None:
        """Of everything something: some of it is refused, and takes nothing of the rest with it."""
        wishes: list[dict[str, Any]] = []
        for number in range(BATCH):
            key, chance = _shared_key(), random.random()
            if chance < 0.6:
                wishes.append(_wish("put", self._new_key(number), self._data(number)))
            elif chance < 0.75:
                wishes.append(_wish("put", key, self._data(number)) | {"if_none_match": "*"})
            elif chance < 0.9:
                wishes.append(_wish("patch", key, self._mark(number)))
            else:
                wishes.append(_wish("delete", key))
        answer = self._send("POST", "/v1/batch", {"operations": wishes})
        self._expect(answer.status == 200, "a batch was refused", answer)
        for wish, result in zip(wishes, answer.document["results"], strict=True):
            if result["status"] in {200, 201, 204}:
                key = wish["collection"], wish["id"]
                effect = Effect(key, result["seq"], wish.get("data"), is_whole=wish["op"] != "patch")
                self.ledger.effects.append(effect)
            else:
                self._expect(result["status"] in {404, 410, 412}, "an operation was refused", answer)

    def _batch_of_new(self) -> None:
        """All or nothing, whether it says so or not: ten new records, which no rule refuses."""
        records = {self._new_key(number): self._data(number) for number in range(BATCH)}
        document = {
            "operations": [_wish("put", key, data) for key, data in records.items()],
            "atomic": random.random() < 0.5,
        }
        may_give_up = self._patient and random.random() < 0.5
        try:
            answer = self._send("POST", "/v1/batch", document, may_give_up=may_give_up)
        except NoAnswer:
            self.ledger.given_up.append(records)
            return
        self._expect(answer.status == 200, "a batch was refused", answer)
        for (key, data), result in zip(records.items(), answer.document["results"], strict=True):
            self._expect(result["status"] == 201, "a new record was refused", answer)
            self.ledger.effects.append(Effect(key, result["seq"], data))
        self.ledger.whole.append(records)
        self._own += random.sample(sorted(records), 2)

    _KINDS: ClassVar[dict[Callable[["Writer"], None], int]] = {
        _put_new: 4, _put_shared: 4, _create: 3, _patch: 4, _delete: 3, _batch: 2, _batch_of_new: 3,
    }  # fmt: skip

    def _send(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        is_keyed: bool = True,
        may_give_up: bool = False,
        **fields: str,
    ) -> Answer:
        """Send until there is an answer to go by; each time with the same key, so that it is done once."""
        has_key = is_keyed and self._keyed and (self._patient or random.random() < 0.5)
        if has_key:
            fields["Idempotency_Key"] = uuid4().hex
        # Not what may be given up: it could be carried out after the reckoning.
        if (has_key or (is_keyed and self._patient)) and not may_give_up and random.random() < 0.05:
            self.ledger.hung_up += 1
            self.client.send_and_go(method, path, document, **fields)
        while True:
            try:
                answer = self.client.send(method, path, document, **fields)
            except NoAnswer:
                self.ledger.unknown += 1
                if may_give_up or not self._patient:
                    raise
                continue
            if not answer.is_retryable:
                break
            self.ledger.later += 1
            time.sleep(_PAUSE_SECONDS)
        if has_key and _has_effect(answer) and random.random() < 0.05:
            self._repeat(answer, method, path, document, fields)
        return answer

    def _repeat(self, before: Answer, method: str, path: str, document: Any, fields: Mapping[str, str]) -> None:
        try:
            again = self.client.send(method, path, document, **fields)
        except NoAnswer:
            return
        if again.is_retryable:
            return
        self.ledger.replayed += 1
        told = again.fields.get("idempotency-replayed"), again.status, again.fields.get("etag"), again.document
        wanted = "true", before.status, before.fields.get("etag"), before.document
        # Two problems have different request ids.
        is_same = told[:3] == wanted[:3] and (before.status >= 400 or told == wanted)
        self._expect(is_same, f"not the answer of before, which was {before}", again)

    def _take_down(self, key: Key, data: Mapping[str, Any], answer: Answer, *, is_whole: bool = True) -> None:
        if answer.status not in {200, 201}:
            self._expect(False, "a write was refused", answer)
            return
        if is_whole:
            self._expect(answer.document.get("data", data) == data, "other data came back", answer)
        self.ledger.effects.append(Effect(key, answer.document["seq"], data, is_whole))

    def _expect(self, holds: bool, words: str, answer: Answer) -> None:
        if not holds:
            self.ledger.faults.append(f"{self.name}, turn {self._turn}: {words}: {answer}")

    def _new_key(self, number: int = 0) -> Key:
        return random.choice(COLLECTIONS), f"{self.name}-{self._turn}-{number}"

    def _data(self, number: int = 0) -> dict[str, Any]:
        return {"by": self.name, "turn": self._turn, "number": number, "text": "x" * random.randrange(200)}

    def _mark(self, number: int = 0) -> dict[str, Any]:
        """What a merge brings: a member of this writer's own, so that it always changes something."""
        return {self.name: [self._turn, number]}


def _has_effect(answer: Answer) -> bool:
    """Only such an answer is kept: what was refused may be carried out the next time."""
    results = answer.document.get("results") if isinstance(answer.document, dict) else None
    return answer.status < 400 and (results is None or any(result["status"] < 400 for result in results))


def _shared_key() -> Key:
    return random.choice(COLLECTIONS), f"shared-{random.randrange(SHARED)}"


def _path(key: Key) -> str:
    return f"/v1/collections/{key[0]}/records/{key[1]}"


def _wish(verb: str, key: Key, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    wish: dict[str, Any] = {"op": verb, "collection": key[0], "id": key[1]}
    return wish if data is None else wish | {"data": data}


def first_record(client: Client, ledger: Ledger) -> None:
    """Make the account, so that whoever begins now misses nothing of it."""
    key, data = ("notes", "first"), {"by": "nobody"}
    answer = client.send("PUT", _path(key), {"data": data})
    assert answer.status == 201, answer
    ledger.effects.append(Effect(key, answer.document["seq"], data))
