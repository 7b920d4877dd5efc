"""Every test runs apart from the user's own caches, folders of weights and data sets."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from expected_skips import is_expected

# As many test processes as CPUs run at a time: torch's threads would only wait, spinning, for each other. A third less
# CPU time for the tests of networks. Read when torch is imported, here and in child processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A package that tests put on the path themselves; collected, it would be there for all.
collect_ignore = ["user_package"]

# What the project reads from the environment; each data set's root variables end in the last word.
_OWN_VARIABLES = ("DENSECAST_CACHE", "DENSECAST_WEIGHTS", "XDG_CACHE_HOME")
_DATA_ROOT_SUFFIX = "DATASETS_PATH"

_unexpected: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--expected-skips-only", action="store_true", help="fail on skips that expected_skips.py lacks")


def pytest_configure(config: pytest.Config) -> None:
    # Thousands of tests, and all that they import, are there to stay: looking for garbage among them takes a while.
    # Where workers collect, this process does not.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_expected(report.nodeid, reason):
            _unexpected[report.nodeid] = reason


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unexpected and session.config.getoption("--expected-skips-only") and not hasattr(session.config, "workerinput"):
        session.exitstatus = max(session.exitstatus, pytest.ExitCode.TESTS_FAILED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _unexpected and config.getoption("--expected-skips-only"):
        terminalreporter.section("skipped, and not in tests/support/expected_skips.py", red=True)
        for test, reason in _unexpected.items():
            terminalreporter.line(f"{test}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [*_OWN_VARIABLES, *(each for each in os.environ if each.endswith(_DATA_ROOT_SUFFIX))]:
            patch.delenv(name, raising=False)
        patch.setenv("DENSECAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        # No test pulls the plug: what is flushed need not reach the disk, which takes longer than many a test.
        patch.setattr(os, "fsync", os.fstat)
        # Tests of files lie apart by more than a server of confined processes waits for its next job.
        patch.setattr("densecast.runtime.cell_pool.idle_s", 600.0)
        # The local servers of these tests are never asked through a proxy.
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture(autouse=True)
def remarks_are_heard() -> None:
    """Logging as a fresh process has it: command lines, linters and libraries leave their settings in this one."""
    if logging.root.manager.disable != logging.NOTSET:
        logging.disable(logging.NOTSET)
    if logging.root.level != logging.WARNING:
        logging.root.setLevel(logging.WARNING)
    logging.root.filters.clear()
    # NNCF's `set_log_level` raises the level of every handler that it finds, pytest's own among them.
    for handler in logging.root.handlers:
        handler.setLevel(logging.NOTSET)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "densecast" and isinstance(logger, logging.Logger):
            logger.disabled = False
            logger.propagate = True
            logger.filters.clear()
            if logger.level != logging.NOTSET:  # setting it empties the caches of all loggers
                logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images, where there is one."""
    folder = os.environ.get("DENSECAST_TEST_DATA")
    if not folder:
        pytest.skip("set DENSECAST_TEST_DATA to a folder with carvana/, cityscapes/ and VOCdevkit/")
    return Path(folder)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test has written to."""
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "own_cache"))
    return tmp_path / "own_cache"


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float` and `built`: a tiny network for sides of 8 to 512 pixels and batches of 1 to 4, images halved."""
    import tiny_artifacts

    from densecast.spec.options import BuildOptions, InputShape, Range

    made = tmp_path_factory.mktemp("artifacts")
    tiny_artifacts.compiled(made, BuildOptions("onnxruntime", shape=InputShape(batch=Range(1, 4))))
    return made


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`built`: tiny people, one or two images at a time."""
    import tiny_artifacts

    from densecast.spec.options import BuildOptions, InputShape

    made = tmp_path_factory.mktemp("people")
    tiny_artifacts.compiled_pose(made, BuildOptions("onnxruntime", shape=InputShape((1, 2))))
    return made


@pytest.fixture(scope="session")
def server(artifacts: Path, people: Path) -> Iterator[str]:
    """The address of a server of `tiny` and `people`, for all tests that only ask."""
    pytest.importorskip("starlette", reason="needs the [serve] extra")
    from densecast.spec.serve_options import ServeOptions
    from densecast.verbs.serve import serving

    options = ServeOptions(port=0, access_log=False)
    with serving([artifacts / "built", f"people:2={people / 'built'}"], options) as running:
        yield running.url
