"""Clause N3: tokens in the OS keyring, or in a 0600 file where there is none."""

import os
import stat
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError

from native.settings import Settings
from native.store import SERVICE, FileStore, KeyringStore, Tokens, open_store


class MemoryKeyring(KeyringBackend):
    """A real backend, kept in memory; `locked` makes every access fail."""

    priority = 1  # type: ignore[assignment] # a class property in the base

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("not found")

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("locked")


def tokens(name: str = "first", saved_at: float = 1.0) -> Tokens:
    return Tokens(
        access_token=f"at-{name}",
        expires_at=5.5,
        refresh_token=f"rt-{name}",
        id_token=None,
        scope=("openid", "a:b"),
        subject="auth0|ada",
        name="Ada",
        audience=None,
        resource=None,
        saved_at=saved_at,
    )


def test_file_when_saved_then_it_is_the_owners_alone(tmp_path: Path) -> None:
    """N3: or in a 0600 file where there is none."""
    store = FileStore(tmp_path / "deep" / "state")
    before = os.umask(0)
    try:
        store.save("k", tokens())
    finally:
        os.umask(before)

    files = list(store.directory.iterdir())
    assert [file.name for file in files] == ["k.json"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


def test_file_when_others_could_read_the_old_one_then_the_new_one_is_private(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("{}")
    (tmp_path / "k.json").chmod(0o644)
    FileStore(tmp_path).save("k", tokens())

    assert stat.S_IMODE((tmp_path / "k.json").stat().st_mode) == 0o600


def test_file_when_it_is_a_link_then_its_target_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("mine")
    (tmp_path / "k.json").symlink_to(target)
    FileStore(tmp_path).save("k", tokens())

    assert target.read_text() == "mine"


def test_file_when_saved_and_loaded_then_equal(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.save("k", tokens())

    assert store.load("k") == tokens()
    assert store.load("other") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"scope": 1}', '{"access_token": "x"}', "\x00"])
def test_file_when_it_is_damaged_then_there_is_no_session(tmp_path: Path, text: str) -> None:
    """A damaged file means a new login, never a traceback."""
    (tmp_path / "k.json").write_text(text)

    assert FileStore(tmp_path).load("k") is None


def test_file_when_it_is_not_text_then_there_is_no_session(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_bytes(b"\xff\xfe")

    assert FileStore(tmp_path).load("k") is None


def test_file_when_writing_fails_then_the_old_one_stays_and_nothing_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N4: nothing half-written; the disk is full in the middle of the save."""
    store = FileStore(tmp_path)
    store.save("k", tokens("old"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.save("k", tokens("new"))

    assert store.load("k") == tokens("old")
    assert [file.name for file in tmp_path.iterdir()] == ["k.json"]


def test_file_when_forgotten_then_gone_and_again_is_fine(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.save("k", tokens())
    store.forget("k")
    store.forget("k")

    assert list(tmp_path.iterdir()) == []


def test_keyring_when_usable_then_no_file_is_written(tmp_path: Path) -> None:
    """N3: Keeps tokens in the OS keyring."""
    backend = MemoryKeyring()
    store = KeyringStore(backend, FileStore(tmp_path))
    store.save("k", tokens())

    assert store.load("k") == tokens()
    assert (SERVICE, "k") in backend.kept
    assert list(tmp_path.iterdir()) == []


def test_keyring_when_locked_for_a_while_then_the_newer_tokens_win(tmp_path: Path) -> None:
    """An outdated refresh token from the keyring would count as reuse at the issuer and end the session."""
    backend = MemoryKeyring()
    store = KeyringStore(backend, FileStore(tmp_path))
    store.save("k", tokens("old", saved_at=1.0))
    backend.locked = True
    store.save("k", tokens("new", saved_at=2.0))
    assert store.load("k") == tokens("new", saved_at=2.0)
    backend.locked = False

    assert store.load("k") == tokens("new", saved_at=2.0)


def test_keyring_when_it_works_again_then_the_file_goes(tmp_path: Path) -> None:
    backend = MemoryKeyring()
    backend.locked = True
    store = KeyringStore(backend, FileStore(tmp_path))
    store.save("k", tokens("old"))
    backend.locked = False
    store.save("k", tokens("new"))

    assert list(tmp_path.iterdir()) == []
    assert store.load("k") == tokens("new")


def test_keyring_when_forgotten_then_both_are_empty(tmp_path: Path) -> None:
    backend = MemoryKeyring()
    store = KeyringStore(backend, FileStore(tmp_path))
    store.save("k", tokens())
    store.forget("k")
    store.forget("k")

    assert store.load("k") is None
    assert backend.kept == {}


def test_store_when_there_is_no_keyring_then_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)

    assert isinstance(open_store(Settings(state_dir=tmp_path)), FileStore)


def test_store_when_there_is_a_keyring_then_that_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N3: keyring when a usable backend exists unless NATIVE_STORE=file."""
    monkeypatch.setattr(keyring, "get_keyring", MemoryKeyring)

    assert isinstance(open_store(Settings(state_dir=tmp_path)), KeyringStore)
    assert isinstance(open_store(Settings(state_dir=tmp_path, store="file")), FileStore)
