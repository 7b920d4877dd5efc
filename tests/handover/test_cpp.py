"""The C++ program of the examples gives the labels that densecast gives, pixel by pixel."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_handovers import LABELS, coarse, exported, picture, spec
from PIL import Image

from densecast import BuildOptions, Pipeline, export_to
from densecast.spec.preprocess import Native, Resize, Stretch
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build

SOURCE = Path(__file__).parents[2] / "examples" / "cpp"


def test_the_program_is_short() -> None:
    assert len((SOURCE / "infer.cpp").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built against the OpenVINO that is installed for Python."""
    import openvino.utils

    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("NO cmake or C++ compiler: the C++ program is NOT TRIED")
    folder = tmp_path_factory.mktemp("cpp")
    place = f"-DOpenVINO_DIR={openvino.utils.get_cmake_path()}"
    commands = [
        ["cmake", "-S", SOURCE, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", place],
        ["cmake", "--build", folder],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
        missing = next((name for name in ("PNG", "JPEG") if f"Could NOT find {name}" in done.stderr), None)
        if missing is not None:
            pytest.skip(
                f"NO headers of {missing}: the C++ program is NOT TRIED (apt-get install libpng-dev libjpeg-dev)"
            )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "infer"


@pytest.mark.slow
@pytest.mark.parametrize("resize", [Stretch((40, 56)), Native()], ids=["stretch", "native"])
def test_its_labels_are_densecasts_own(program: Path, resize: Resize, tmp_path: Path) -> None:
    described = replace(spec(SegmentationDecode(), resize=resize), palette=((9, 8, 7), (200, 0, 3), (0, 77, 255)))
    built = build(exported(tmp_path, coarse(), described), tmp_path / "built", BuildOptions("openvino"))
    result = export_to("hf", built, tmp_path / "handed")
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    sizes = {"a.png": (38, 54), "b.png": (20, 30), "c.jpg": (96, 128), "d.png": (40, 56), "left_out.png": (40, 56)}
    for seed, (name, size_hw) in enumerate(sizes.items()):
        Image.fromarray(picture(size_hw, seed)).save(photos / name, quality=90)
    (tmp_path / "list.txt").write_text("a\nb\nc\nd\nleft_out\n")
    command = [program, "--model", tmp_path / "handed" / result.model_file, "--image_dir", photos]
    command += ["--output_dir", out, "--file_list", tmp_path / "list.txt", "--image_num", "4", "--save_img", "1"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    first, *told = done.stdout.splitlines()
    assert all(label in first for label in LABELS) and [line.split()[0] for line in told] == ["a", "b", "c", "d"]
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.png", "d.png"]
    colours = np.array(described.palette, np.uint8)
    with Pipeline.open(built) as pipeline:
        for name in list(sizes)[:4]:
            wanted = pipeline.predict(pipeline.preprocess(pipeline.read(photos / name)), "network").class_id
            assert len(np.unique(wanted)) > 1
            np.testing.assert_array_equal(np.asarray(Image.open(out / f"{name[0]}.png")), colours[wanted])


@pytest.mark.slow
def test_it_says_what_it_cannot_do(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([program, "--model", tmp_path / "x.xml"], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and done.stderr == "infer: --image_dir?\n"
