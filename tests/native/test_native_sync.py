"""N6: two folders of one user, the development tenant, and the API itself over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from app.commands.db import upgrade
from app.commands.purge import purge_tombstones
from app.db import Database
from app.factory import create_app
from config.settings import Settings as ApiSettings
from native.__main__ import main
from native.api import Api
from native.errors import NativeError, Unavailable
from native.folder import Folder
from native.lock import exclusive
from native.session import Session
from native.settings import Settings
from native.store import Tokens
from native.sync import PAGE, Tally, in_step
from tests.support import tenant as tenants

SCOPE = "read:records write:records"


@dataclass(frozen=True)
class Served:
    """The API, and the settings of a client that is logged in there."""

    client: Settings
    database_url: str

    def api(self) -> Api:
        return Api(Session(self.client))

    def purge(self) -> None:
        """Forget every deletion there was."""
        database = Database(self.database_url)
        try:
            assert purge_tombstones(database, datetime.now(UTC) + timedelta(hours=1)).tombstones > 0
        finally:
            database.dispose()


@pytest.fixture(scope="module")
def tenant_and_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tenants.RunningTenant, str, str]]:
    """A tenant, and the addresses of the API behind it and of its database; each test is a user of its own there."""
    directory = tmp_path_factory.mktemp("served")
    server = make_server("127.0.0.1", 0, lambda _environ, _start: [], threaded=True)
    url, database_url = f"http://127.0.0.1:{server.port}", f"sqlite:///{directory / 'postern.db'}"
    upgrade(database_url)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with tenants.running_tenant(directory / "tenant", api_identifier=url) as tenant:
        app = create_app(
            ApiSettings(
                tenant_issuers=(tenant.issuer,), api_audiences=(url,), public_url=url, database_url=database_url,
                jwks_snapshot_dir=None, rate_limit_requests_per_minute=0, rate_limit_writes_per_minute=0,
            )
        )  # fmt: skip
        app.extensions["postern"].start()
        server.app = app
        try:
            yield tenant, url, database_url
        finally:
            app.extensions["postern"].stop()
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def served(
    tenant_and_api: tuple[tenants.RunningTenant, str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Served:
    tenant, url, database_url = tenant_and_api
    client = Settings(
        issuer=tenant.issuer, api=url, state_dir=tmp_path / "state", store="file", http_timeout_seconds=60
    )  # fmt: skip
    subject = f"auth0|{uuid5(NAMESPACE_URL, request.node.nodeid).hex}"
    token = tenant.mint(sub=subject, scope=SCOPE)
    Session(client).save(
        Tokens(token, time.time() + 3600, None, None, tuple(SCOPE.split()), subject, "Ada", None, None, 0.0)
    )
    return Served(client, database_url)


@dataclass
class Device:
    """A folder, as its user and the command see it."""

    served: Served
    root: Path
    owner: str = "ada"

    def sync(self, api: Api | None = None) -> Tally:
        self.said: list[str] = []
        return in_step(api or self.served.api(), Folder(self.root), self.owner, say=self.said.append)

    def write(self, key: str, data: Any) -> None:
        path = self.root / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))

    def remove(self, key: str) -> None:
        (self.root / f"{key}.json").unlink()

    def files(self) -> dict[str, Any]:
        """Every file that a user sees, by its name."""
        found = (path for path in self.root.glob("[!.]*/*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): json.loads(path.read_text()) for path in found}


@pytest.fixture
def phone(served: Served, tmp_path: Path) -> Device:
    return Device(served, tmp_path / "phone")


@pytest.fixture
def tablet(served: Served, tmp_path: Path) -> Device:
    return Device(served, tmp_path / "tablet")


@pytest.fixture
def shared(phone: Device, tablet: Device) -> None:
    """Both devices hold the same three notes."""
    for name in ("milk", "eggs", "list"):
        phone.write(f"notes/{name}", {"title": name})
    assert phone.sync().sent == 3
    assert tablet.sync().received == 3
    assert tablet.files() == phone.files() != {}


def test_sync_when_files_are_new_changed_and_removed_then_the_other_folder_follows(
    phone: Device, tablet: Device, shared: None
) -> None:
    phone.write("notes/milk", {"title": "Milk", "amount": 1.5, "of": ["cow", "oat"], "äöü": None})
    phone.write("tasks/new", {"done": False})
    phone.remove("notes/eggs")

    assert phone.sync() == Tally(sent=3)
    assert tablet.sync() == Tally(received=2, removed=1)

    assert tablet.files() == phone.files()
    assert sorted(tablet.files()) == ["notes/list.json", "notes/milk.json", "tasks/new.json"]
    assert (phone.sync(), tablet.sync()) == (Tally(), Tally())


def test_sync_when_the_same_was_written_on_both_then_no_conflict(phone: Device, tablet: Device, shared: None) -> None:
    phone.write("notes/milk", {"a": 1, "b": 2})
    tablet.write("notes/milk", {"b": 2, "a": 1})
    phone.sync()
    assert tablet.sync() == Tally()
    assert phone.sync() == Tally()


@pytest.mark.parametrize("key", ["notes/milk", "notes/made-on-both"])
def test_sync_when_both_have_changed_it_then_both_versions_stand_beside_each_other(
    phone: Device, tablet: Device, shared: None, key: str
) -> None:
    """N6: "with conflicts kept beside each other": the server's version has the name, and nothing is lost."""
    for number in (1, 2):
        phone.write(key, {"by": "phone", "number": number})
        tablet.write(key, {"by": "tablet", "number": number})
        phone.sync()
        assert tablet.sync() == Tally(received=1, conflicts=1)
        assert any(line.startswith(f"{key}: changed here and elsewhere") for line in tablet.said)

    held = tablet.files()
    assert held[f"{key}.json"] == {"by": "phone", "number": 2}
    beside = [data for name, data in held.items() if name.startswith(f"{key}.conflict-")]
    assert sorted(data["number"] for data in beside) == [1, 2]
    assert {data["by"] for data in beside} == {"tablet"}
    assert tablet.sync() == phone.sync() == Tally()


def test_sync_when_one_has_deleted_and_the_other_changed_it_then_the_change_stays(
    phone: Device, tablet: Device, shared: None
) -> None:
    phone.remove("notes/milk")
    tablet.write("notes/milk", {"changed": "after"})
    phone.write("notes/eggs", {"changed": "before"})
    tablet.remove("notes/eggs")

    assert phone.sync() == Tally(sent=2)
    assert tablet.sync() == Tally(sent=1, received=1)
    assert phone.sync() == Tally(received=1)

    assert phone.files() == tablet.files()
    assert phone.files()["notes/milk.json"] == {"changed": "after"}
    assert phone.files()["notes/eggs.json"] == {"changed": "before"}


class Cut(Exception):  # noqa: N818 - what happens to a process, not what it did wrong
    """The process ends here."""


class CutShort(Api):
    """Carries out so many calls, and ends with the next one: before it, or after the server has done its part."""

    def __init__(self, session: Session, calls: int, *, is_sent: bool) -> None:
        super().__init__(session)
        self._left, self._is_sent = calls, is_sent

    def call(self, method: str, path: str, **options: Any) -> Any:
        self._left -= 1
        if self._left >= 0 or self._is_sent:
            answer = super().call(method, path, **options)
        if self._left < 0:
            raise Cut
        return answer


class Unconditional(Api):
    """Sends no if_match and no if_none_match."""

    def call(self, method: str, path: str, *, body: bytes | None = None, **options: Any) -> Any:
        document = json.loads(body or b"{}")
        for operation in document.get("operations", ()):
            for name in {"if_match", "if_none_match"} & operation.keys():
                del operation[name]
        return super().call(method, path, body=body and json.dumps(document).encode(), **options)


def test_sync_when_it_sends_no_conditions_then_a_version_is_lost(phone: Device, tablet: Device, shared: None) -> None:
    """The negative control of the conflicts above."""
    phone.write("notes/milk", {"by": "phone"})
    tablet.write("notes/milk", {"by": "tablet"})
    phone.sync()
    assert tablet.sync(Unconditional(Session(tablet.served.client))).conflicts == 0
    phone.sync()
    assert {"by": "phone"} not in [*phone.files().values(), *tablet.files().values()]


@pytest.mark.parametrize("is_sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", range(3))
def test_sync_when_cut_short_anywhere_then_the_next_one_ends_it_without_a_conflict(
    phone: Device, tablet: Device, shared: None, calls: int, is_sent: bool
) -> None:
    """U4: a 412 whose `current` is what was sent is the answer that did not arrive."""
    for number in range(120):
        phone.write(f"many/{number}", {"number": number})
    phone.write("notes/milk", {"changed": True})
    phone.remove("notes/eggs")
    tablet.write("notes/list", {"changed": "elsewhere"})
    tablet.sync()
    session = Session(phone.served.client)

    with pytest.raises(Cut):
        phone.sync(CutShort(session, calls, is_sent=is_sent))
    assert phone.sync().conflicts == 0

    assert tablet.sync().conflicts == 0
    assert tablet.files() == phone.files()
    assert len(tablet.files()) == 122
    assert not list((phone.root / ".postern").glob("*.new"))


class CutFolder(Folder):
    """Ends with the next step on the disk after so many."""

    left = 0

    def remove(self, key: str) -> None:
        self._count()
        super().remove(key)

    def _replace(self, path: Path, content: bytes) -> None:
        self._count()
        super()._replace(path, content)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cut


@pytest.mark.parametrize("steps", range(6))
def test_sync_when_cut_short_between_two_files_then_the_next_one_ends_it(
    phone: Device, tablet: Device, shared: None, steps: int
) -> None:
    """Sent, remembered; put aside, written, written, removed: what is remembered is older than what was done."""
    for name in ("milk", "list"):
        phone.write(f"notes/{name}", {"by": "phone"})
    phone.remove("notes/eggs")
    phone.sync()
    tablet.write("notes/milk", {"by": "tablet"})
    tablet.write("notes/new", {"by": "tablet"})
    folder = CutFolder(tablet.root)
    folder.left = steps

    with pytest.raises(Cut):
        in_step(tablet.served.api(), folder, tablet.owner)
    tablet.sync()

    phone.sync()
    held = tablet.files()
    (aside,) = [name for name in held if ".conflict-" in name]
    assert held.pop(aside) == {"by": "tablet"}
    assert held == phone.files()
    assert sorted(held) == ["notes/list.json", "notes/milk.json", "notes/new.json"]
    assert held["notes/milk.json"] == {"by": "phone"}


def test_sync_when_the_state_is_lost_then_everything_is_compared(phone: Device, tablet: Device, shared: None) -> None:
    tablet.write("notes/milk", {"changed": True})
    state = tablet.root / ".postern" / "state.json"
    state.write_text("{")
    with pytest.raises(NativeError) as refused:
        tablet.sync()
    assert "Remove that file" in refused.value.hint
    state.unlink()

    assert tablet.sync() == Tally(received=1, conflicts=1)
    assert tablet.files()["notes/milk.json"] == {"title": "milk"}


def test_sync_when_deletions_were_forgotten_then_anew_and_no_edit_is_lost(
    phone: Device, tablet: Device, shared: None
) -> None:
    """§2: 410 `cursor_expired`; the second time it is cut short half-way."""
    for name in ("milk", "eggs"):
        phone.remove(f"notes/{name}")
    phone.write("notes/other", {"changed": True})
    phone.sync()
    phone.served.purge()
    tablet.write("notes/eggs", {"changed": "while away"})
    tablet.write("notes/made-away", {"made": "away"})

    with pytest.raises(Cut):
        tablet.sync(CutShort(Session(tablet.served.client), 1, is_sent=True))
    assert tablet.sync().conflicts == 0

    phone.sync()
    assert tablet.files() == phone.files()
    assert sorted(tablet.files()) == [f"notes/{name}.json" for name in ("eggs", "list", "made-away", "other")]
    assert tablet.files()["notes/eggs.json"] == {"changed": "while away"}


def test_sync_when_cut_short_between_two_pages_of_a_sync_anew_then_what_is_gone_is_still_found(
    phone: Device, tablet: Device, shared: None
) -> None:
    for number in range(PAGE + 1):
        phone.write(f"many/{number}", {"number": number})
    phone.sync()
    tablet.sync()
    phone.remove("notes/milk")
    phone.sync()
    phone.served.purge()

    with pytest.raises(Cut):
        # 410, the first page, and no second one.
        tablet.sync(CutShort(Session(tablet.served.client), 2, is_sent=False))
    assert "notes/milk.json" in tablet.files()
    assert tablet.sync() == Tally(removed=1)
    assert tablet.files() == phone.files()


def test_sync_when_names_or_contents_have_no_place_then_told_and_left_alone(
    phone: Device, tablet: Device, shared: None
) -> None:
    names = ["Big/a.json", "notes/with space.json", "notes/no-json.txt", "loose.json", f"notes/{'x' * 65}.json"]
    for name in names:
        (phone.root / name).parent.mkdir(exist_ok=True)
        (phone.root / name).write_text("{}")
    (phone.root / "notes" / "broken.json").write_text('{"a": NaN}')
    (phone.root / "notes" / "milk.json").write_text("<<<< half edited")
    (phone.root / ".hidden").write_text("{}")
    phone.write("notes/list-of-numbers", {"large": 1 << 80})
    phone.write("notes/too-large", {"text": "x" * 70_000})
    phone.write("notes/good", {"good": True})

    tally = phone.sync()

    assert (tally.sent, tally.left_alone) == (1, len(names) + 4)
    assert all(any(line.startswith(f"{name}: left alone") for line in phone.said) for name in names)
    assert (phone.root / "notes" / "milk.json").read_text() == "<<<< half edited"
    assert tablet.sync() == Tally(received=1)
    tablet.write("notes/milk", {"changed": "elsewhere"})
    tablet.sync()
    assert phone.sync().conflicts == 1
    aside = next(phone.root.glob("notes/milk.conflict-*.json"))
    assert aside.read_text() == "<<<< half edited"


def test_sync_when_another_one_runs_then_told_so_and_nothing_is_touched(phone: Device, shared: None) -> None:
    phone.write("notes/milk", {"changed": True})
    with exclusive(phone.root / ".postern" / "lock", 0), pytest.raises(Unavailable) as refused:
        phone.sync()
    assert refused.value.message == "Another sync of this folder is under way."
    assert phone.sync() == Tally(sent=1)


def test_sync_when_the_folder_is_somebody_elses_then_refused(phone: Device, shared: None) -> None:
    """With another account, every file would be "deleted at the server"."""
    before = phone.files()
    phone.owner = "grace"
    with pytest.raises(NativeError, match="another account"):
        phone.sync()
    assert phone.files() == before


def test_command_when_run_then_the_folder_is_in_step(served: Served, tablet: Device, tmp_path: Path) -> None:
    tablet.write("notes/milk", {"title": "Milk"})
    tablet.sync()
    environment = {
        "NATIVE_ISSUER": served.client.issuer, "NATIVE_API": served.client.api,
        "NATIVE_STATE_DIR": str(served.client.state_dir), "NATIVE_STORE": "file",
    }  # fmt: skip
    done = CliRunner().invoke(main, ["sync", str(tmp_path / "new" / "folder")], env=environment)
    assert done.exit_code == 0, done.output
    assert "In step: 0 sent, 1 received, 0 removed, 0 kept beside each other, 0 left alone.\n" in done.stderr
    assert json.loads((tmp_path / "new" / "folder" / "notes" / "milk.json").read_text()) == {"title": "Milk"}
