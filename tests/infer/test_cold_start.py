"""A cold process imports what its command needs, and no more: nobody waits for what is not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from command_line import densecast
from made_images import picture
from PIL import Image
from typer.testing import CliRunner

from densecast.artifact import Artifact
from densecast.cli import COMMANDS, app
from densecast.runtime import late_imports
from densecast.spec.options import BuildOptions, InputShape

# What a prediction of one picture does without; each is a tenth of a second or so.
UNUSED = (
    *(
        "scipy.linalg",
        "numpy.f2py",
        "openvino.tools.ovc",
        "nncf",
        "onnx",
        "onnxruntime",
        "torch",
        "http.client",
        "yaml",
    ),
    *("densecast.cli.build", "densecast.cli.run", "densecast.cli.serve", "densecast.results.compare"),
    *("densecast.measure.ground_truth", "densecast.measure.store.store", "densecast.verbs.large"),
    *("densecast.verbs.stored.infer", "densecast.backends._nncf", "densecast.verbs.builder", "densecast.testing"),
)

COMMAND = """
import sys
from densecast.cli import main
wanted, sys.argv = sys.argv[1].split(","), ["densecast", *sys.argv[2:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print("loaded", *(name for name in wanted if name in sys.modules))
"""

# What stood in for others while something was imported is the real thing to whoever calls it.
CONVERTER = """
import sys
import onnx, numpy as np
from densecast.runtime import late_imports
ov = late_imports.openvino()
before = "openvino.tools.ovc" in sys.modules
compiled = ov.Core().compile_model(ov.convert_model(sys.argv[1]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
from openvino.tools.ovc import convert_model
print(before, convert_model.__module__.startswith("openvino.tools.ovc"), len(compiled.outputs))
"""
PRODUCT = """
import sys
import numpy as np
from densecast.runtime import late_imports
late_imports.numba_array_functions()
before = "scipy.linalg" in sys.modules
from numba import njit
left = np.arange(6.0).reshape(2, 3)
found = njit(lambda a, b: np.dot(a, b))(left, left.T.copy())
print(before, np.array_equal(found, left @ left.T), "scipy.linalg" in sys.modules)
"""
# numba reads its configuration file in the folder where a program runs.
CONFIGURED = """
import sys
from densecast.runtime import late_imports
numba = late_imports.numba()
before = "yaml" in sys.modules
import yaml
print(before, bool(numba.config.DEVELOPER_MODE), yaml.safe_load("[1, 2]") == [1, 2], hasattr(yaml, "__file__"))
"""


def process(code: str, *arguments: str | Path, at: Path | None = None) -> list[str]:
    """The words of the last line that a new process says."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, cwd=at)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("cold")
    shape = InputShape((1,), 32, 48)
    return tiny_artifacts.compiled(folder, BuildOptions("openvino", "force_float32", shape))


@pytest.mark.slow
def test_the_first_prediction_imports_nothing_that_it_does_not_use(built: Artifact, tmp_path: Path) -> None:
    Image.fromarray(picture((64, 96))).save(tmp_path / "one.png")
    arguments = ("infer", built.folder, tmp_path / "one.png", "--out", tmp_path / "out")
    assert process(COMMAND, ",".join(UNUSED), *arguments) == ["loaded"]
    assert (tmp_path / "out" / "one.png").is_file()


@pytest.mark.slow
def test_a_command_reads_no_other_command() -> None:
    others = [f"densecast.cli.{name.replace('-', '_')}" for name in COMMANDS if name != "models"]
    assert process(COMMAND, ",".join([*others, "numba", "openvino"]), "models") == ["loaded"]
    assert process(COMMAND, ",".join([*others, "densecast.cli.models"]), "--version") == ["loaded"]


def words(told: str) -> set[str]:
    """What a help says below the line with the name of the program, however its lines are broken."""
    return set(told.partition("[OPTIONS]")[2].split())


@pytest.mark.parametrize("name", ["infer", "data", "compare-results"])
def test_a_command_read_alone_has_the_help_that_it_has_beside_all_others(name: str) -> None:
    alone = densecast(name, "--help")
    beside = CliRunner().invoke(app, [name, "--help"], prog_name="densecast")
    assert alone.code == beside.exit_code == 0
    assert words(alone.out) == words(beside.output) and len(words(alone.out)) > 30


def test_an_option_before_the_command_leads_to_the_same_command() -> None:
    ended = densecast("--plugin", "infer", "models", "--help")
    assert ended.code == 0 and words(ended.out) == words(densecast("models", "--help").out)


def test_the_converter_of_openvino_is_the_real_one_when_it_is_called(built: Artifact) -> None:
    graph = built.folder.parent / "tiny.onnx"
    assert graph.is_file()
    assert process(CONVERTER, graph) == ["False", "True", "1"]


@pytest.mark.slow
def test_products_of_matrices_compile_though_scipy_was_not_looked_for() -> None:
    pytest.importorskip("scipy")
    assert process(PRODUCT) == ["False", "True", "True"]


@pytest.mark.parametrize(
    ("written", "found"),
    [(None, ["False", "False"]), ("developer_mode: 1", ["True", "True"])],
)
def test_numba_reads_its_configuration_where_there_is_one(
    written: str | None, found: list[str], tmp_path: Path
) -> None:
    if written is not None:
        (tmp_path / ".numba_config.yaml").write_text(written, encoding="utf-8")
    assert process(CONFIGURED, at=tmp_path) == [*found, "True", "True"]


def test_what_is_loaded_already_is_left_as_it_is() -> None:
    import openvino

    late_imports.openvino()
    late_imports.numba_array_functions()
    assert sys.modules["openvino"] is openvino
    stand_ins = [name for name in ("openvino.tools.ovc", "scipy.linalg.cython_blas") if name in sys.modules]
    assert all(getattr(sys.modules[name], "__file__", None) for name in stand_ins)
    assert np.isfinite(openvino.Core().get_property("CPU", "INFERENCE_NUM_THREADS"))
