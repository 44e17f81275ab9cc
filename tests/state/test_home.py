"""Where things lie, and that nobody else can read them."""

import threading
from pathlib import Path

import pytest

from gpucloud.core.errors import StateConflict
from gpucloud.state.home import Home, write_private


def test_one_variable_moves_everything(tmp_path):
    home = Home.from_environment({"GPUCLOUD_HOME": str(tmp_path / "x")})
    paths = (home.config_file, home.state_db, home.keys, home.known_hosts, home.ssh_config, home.catalog, home.cache)
    assert all(tmp_path / "x" in path.parents for path in paths)
    assert not home.root.exists(), "asking where things lie creates nothing"


def test_without_it_the_systems_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in Home.from_environment({}).root.parents


def test_home_id_is_made_once(tmp_path):
    home = Home(tmp_path / "home")
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(home.home_id())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 1
    assert len(ids[0]) == 16
    assert [path.name for path in home.root.iterdir()] == ["home_id"]
    assert (home.root / "home_id").stat().st_mode & 0o777 == 0o600


def test_private_files(tmp_path):
    path = tmp_path / "keys" / "proof"
    write_private(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StateConflict, match="cannot be used"):
        Home(tmp_path / "home").home_id()
    with pytest.raises(StateConflict):
        write_private(Path(tmp_path / "home" / "x"), b"")
