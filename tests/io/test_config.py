"""Where data sets are, by file and by variable."""

from pathlib import Path

import pytest

from densecast.errors import BadConfigError, MissingFileError
from densecast.io import config

VARIABLES = ("VOC2012_DATASETS_PATH", "DATASETS_PATH")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name in (*VARIABLES, config.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_file_here_names_the_root_before_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIG_DISK", "/big")
    monkeypatch.setenv("DATASETS_PATH", "/other")
    (here / "densecast.toml").write_text('[data]\nvoc2012 = "$BIG_DISK/voc"\n')
    assert config.data_root("voc2012", VARIABLES) == Path("/big/voc")
    assert config.data_root("carvana", VARIABLES) == Path("/other")


def test_the_variable_names_a_file_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine.toml").write_text('[data]\nvoc2012 = "/mine"\n')
    monkeypatch.setenv(config.VARIABLE, str(here / "mine.toml"))
    assert config.data_root("voc2012", VARIABLES) == Path("/mine")
    monkeypatch.setenv(config.VARIABLE, str(here / "gone.toml"))
    with pytest.raises(MissingFileError, match=r"gone\.toml does not exist"):
        config.data_root("voc2012", VARIABLES)


def test_the_home_folders_file_is_the_last_one(here: Path) -> None:
    (here / "home" / "densecast").mkdir(parents=True)
    (here / "home" / "densecast" / "config.toml").write_text('[data]\nvoc2012 = "~/voc"\n')
    assert config.data_root("voc2012", VARIABLES) == Path.home() / "voc"


def test_without_any_the_error_names_all_three_ways(here: Path) -> None:
    with pytest.raises(
        MissingFileError, match=r"--data FOLDER, set \$VOC2012_DATASETS_PATH, or name it under \[data\]"
    ):
        config.data_root("voc2012", VARIABLES)


def test_an_unknown_key_names_the_nearest(here: Path) -> None:
    (here / "densecast.toml").write_text('[date]\nvoc2012 = "/x"\n')
    with pytest.raises(BadConfigError, match="Did you mean 'data'"):
        config.data_root("voc2012", VARIABLES)
