"""The wheel: built once, installed with its own dependencies into fresh environments, and used from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import built_wheel
import pytest

ROOT = Path(__file__).parents[1]
# Those that the package says it is for, and the newest.
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PROGRAM = """
import sys, densecast, densecast.zoo as zoo
from pathlib import Path
assert Path(densecast.__file__).is_relative_to(sys.prefix), densecast.__file__
built = densecast.build(densecast.export("unet_tiny", "float"), "built", densecast.BuildOptions(
    "openvino", "force_float32", shape=densecast.InputShape(height=64, width=96)))
from PIL import Image
Image.new("RGB", (192, 128), (120, 90, 60)).save("a.png")
with densecast.Pipeline.open(built) as pipeline:
    print(sys.version.split()[0], pipeline("a.png").class_id.shape)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel.build(tmp_path_factory.mktemp("wheel"))


def pythons() -> dict[str, str]:
    """An interpreter for each version that is here: on the path, or beside pyenv's."""
    found: dict[str, str] = {}
    for version in VERSIONS:
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            found[version] = sys.executable
            continue
        homes = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
        place = str(homes[-1]) if homes else shutil.which(f"python{version}")
        if place and subprocess.run([place, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            found[version] = place
    return found


@pytest.mark.slow
def test_it_holds_the_code_what_comes_with_it_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "densecast").rglob("*.py")}
    assert sources <= set(names)
    assert any(name.endswith("py.typed") for name in names) and any(name.endswith("/LICENSE") for name in names)
    assert "densecast/zoo/graphs/unet_tiny.json" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "runs")) or "__pycache__" in name]


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_installed_and_predicts_without_torch(wheel: Path, version: str, tmp_path: Path) -> None:
    python = pythons().get(version)
    if python is None:
        pytest.skip(f"NO Python {version}: the wheel is NOT TRIED with it")
    place = built_wheel.installed(python, wheel, tmp_path / "env")
    environment = built_wheel.environment(tmp_path)
    done = subprocess.run(
        [place / "bin" / "python", "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(version) and done.stdout.strip().endswith("(128, 192)")
    told = subprocess.run([place / "bin" / "densecast", "--version"], capture_output=True, text=True, check=True)
    assert "0.1.0" in told.stdout
