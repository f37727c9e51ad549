"""A random life of one user against a plain dict: what is answered, what is stored, and what every device ends with."""

from datetime import timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.records import operations
from app.records.errors import Gone, NotFound, PreconditionFailed, QuotaExceeded
from app.records.operations import Operation, Verb
from app.records.terms import Limits, Terms
from app.records.writing import Outcome, Written
from app.users.identity import Identity
from app.users.merge_patch import merge
from tests.support.records import ABSENT, EXISTS, Device, Store

USERS = count()
TERMS = Terms(Limits(records_per_collection=3, collections=2))
COLLECTIONS = st.sampled_from(["a", "b", "c"])
IDS = st.sampled_from(["1", "2", "3", "4"])
# U+0000 is refused, as half surrogates are.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
DATA = st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 3) | TEXTS, max_size=3)
CONDITIONS = st.sampled_from([operations.UNCONDITIONAL] * 3 + [ABSENT, EXISTS])
ORIGINS = st.none() | st.sampled_from(["ios-1", "web-2"])
WISHES = st.one_of(
    st.builds(operations.put, COLLECTIONS, IDS, DATA, CONDITIONS, ORIGINS),
    st.builds(operations.patch, COLLECTIONS, IDS, DATA, CONDITIONS, ORIGINS),
    st.builds(operations.delete, COLLECTIONS, IDS, CONDITIONS, ORIGINS),
)
STEPS = st.one_of(
    WISHES,
    st.lists(WISHES, min_size=1, max_size=5),
    st.tuples(st.just("clear"), COLLECTIONS),
    st.tuples(st.just("preferences"), DATA),
    st.tuples(st.just("turn"), st.integers(0, 3)),
    st.tuples(st.just("turn"), st.integers(0, 3)),
    st.tuples(st.just("purge"), st.integers(0, 5)),
)
FILTER = frozenset({"a", "c"})


class Model:
    """What should be stored."""

    def __init__(self) -> None:
        self.living: dict[tuple[str, str], dict[str, Any]] = {}
        self.dead: set[tuple[str, str]] = set()
        self.preferences: dict[str, Any] = {}

    def expected(self, wish: Operation) -> Outcome | type[Exception]:
        """Carry the wish out here, and say what the answer should be."""
        key = (wish.collection, wish.id)
        exists = key in self.living
        if not exists and wish.verb is Verb.PATCH:
            return Gone if key in self.dead else NotFound
        if not exists and wish.verb is Verb.DELETE:
            return Outcome.DELETED if key in self.dead else NotFound
        if (wish.precondition is ABSENT and exists) or (wish.precondition is EXISTS and not exists):
            return PreconditionFailed
        if wish.verb is Verb.DELETE:
            del self.living[key]
            self.dead.add(key)
            return Outcome.DELETED
        if not exists and not self.has_room(wish.collection):
            return QuotaExceeded
        self.living[key] = merge(self.living[key], wish.data) if wish.verb is Verb.PATCH else wish.data
        self.dead.discard(key)
        return Outcome.CHANGED if exists else Outcome.CREATED

    def has_room(self, collection: str) -> bool:
        names = [name for name, _id in self.living]
        if collection not in names:
            return len(set(names)) < TERMS.limits.collections
        return names.count(collection) < TERMS.limits.records_per_collection

    def clear(self, collection: str) -> int:
        keys = {key for key in self.living if key[0] == collection}
        self.dead |= keys
        self.living = {key: data for key, data in self.living.items() if key not in keys}
        return len(keys)


def shown(result: Any) -> Outcome | type[Exception]:
    return result.outcome if isinstance(result, Written) else type(result)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=30))
def test_devices_when_they_follow_the_changes_then_each_ends_with_what_is_stored(database, steps):
    """§: "nothing acknowledged is ever lost from sync", with purges and resumed pages in between."""
    store = Store(database, TERMS, Identity("https://tenant.example/", f"user-{next(USERS)}"))
    model = Model()
    devices = [
        Device(store, size=1, with_preferences=True),
        Device(store, size=2, with_preferences=True),
        Device(store, with_preferences=True),
        Device(store, size=1, collections=FILTER),
    ]
    for step in (("preferences", {}), *steps):
        store.now += timedelta(seconds=1)
        live(store, model, devices, step)
    store.refuse_wrong_numbers()
    stored = {
        (name, record["id"]): record["data"] for name in ("a", "b", "c") for record in store.page(name)["records"]
    }
    assert stored == model.living
    everything: dict[Any, Any] = {**stored, "preferences": model.preferences}
    for device in devices[:3]:
        assert device.sync() == everything
    assert devices[3].sync() == {key: data for key, data in stored.items() if key[0] in FILTER}
    event(f"resyncs: {min(3, sum(device.resyncs for device in devices))}")


def live(store: Store, model: Model, devices: list[Device], step: Any) -> None:
    if isinstance(step, Operation):
        try:
            result: Any = store.write(step)
        except (Gone, NotFound, PreconditionFailed, QuotaExceeded) as refused:
            result = refused
        assert shown(result) == model.expected(step)
    elif isinstance(step, list):
        results = store.batch(*step)
        assert [shown(result) for result in results] == [model.expected(wish) for wish in step]
    elif step[0] == "clear":
        assert store.clear(step[1]).deleted == model.clear(step[1])
    elif step[0] == "preferences":
        store.write(operations.put_preferences(step[1]))
        model.preferences = step[1]
    elif step[0] == "turn":
        devices[step[1]].turn()
    else:
        # What is left of the dead, the server says: it depends on when each of them died.
        store.purge(store.now - timedelta(seconds=step[1]))
        model.dead = {key for key in model.dead if is_dead(store, key)}


def is_dead(store: Store, key: tuple[str, str]) -> bool:
    try:
        store.find(key[1], key[0])
    except Gone:
        return True
    except NotFound:
        return False
    raise AssertionError(key)
