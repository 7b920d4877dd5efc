"""The commands of the pages run as they stand, on a small network in the folders that the pages name.

What needs something that no test has is left out by name, each with its reason and what tries it instead.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import colour_network
import made_mask_folders
import made_videos
import numpy as np
import pytest
from command_line import densecast

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# (what stands in the line, why it is not run here).
NOT_RUN = (
    (r"^densecast (run|demo)\b", "minutes: test_your_own.py, test_run_own.py, test_tutorial.py"),
    (r"unet_carvana|ocrnet|deeplabv3|fcn_r50|hrnet|unet_tiny --out", "published weights: parity/, tests/export"),
    (r"^densecast serve (?!--check)", "goes on until it is stopped: tests/serve"),
    (r"^densecast serve --check", "needs the server's extra: tests/serve"),
    (r"^densecast handoff", "a vendor's files: tests/handoff"),
    (r"compare results published:", "a table that handoff makes: tests/test_compare_results.py"),
    (r"--tune|--max-drop|--time-budget|__drop0", "a search of minutes: tests/builder, tests/mixed_precision"),
    (r"-p int8|--precision int8|__torch |weights\.pth|traced\.pt|\.pb", "another extra: tests/builder, tests/export"),
    (r"camera|rtsp", "a camera: tests/infer/test_videos.py"),
    (r"--on ray|--shard|^densecast merge", "many machines: tests/measure"),
    (r"^densecast bundle", "fetches wheels: tests/handover/test_bundle.py"),
    (r"export-to (ovms|triton|model-api)", "fixed sizes, as its page says: tests/handover"),
    (r"work_dirs|published\.pth|latest\.pth|higherhrnet", "checkpoints of OpenMMLab: tests/export"),
    (r"--dataset|_DATASETS_PATH|--protocol", "a published data set: tests/datasets"),
    (r"--cpu|^densecast doctor|--layers", "this machine: tests/cpus, tests/cli"),
    (r"--slide|b1-4__openvino", "sliding windows: tests/test_sliding_windows.py"),
    (r"--spec|runs/float|runs/fp32|data/noisy", "the page's own test: tests/test_own_task.py"),
    (r"small__int8|data check my_data$", "the page's own test: tests/reproduce/test_tutorial.py"),
    (r"mmseg|segformer|net\.onnx|mask\.onnx", "the page's own test: tests/reproduce/test_your_own.py"),
    (r"--size 512x1024", "a network of open sizes: tests/test_info.py"),
    (r"^densecast report", "a report: tests/report"),
)
# Names of the pages -> what stands here.
STAND_INS = (
    ("runs/unet/unet_tiny__int8__320x479__b1__openvino", "built"),
    ("runs/unet/unet_tiny__fp16__320x479__b1__openvino", "built"),
    ("runs/mine/my__int8__openvino", "built"),
    ("runs/unet/data/imgs", "my_data/images"),
    ("runs/unet/data", "my_data"),
    ("carvana/imgs", "my_data/images"),
    ("/data/carvana", "my_data"),
    ("--data carvana", "--data my_data"),
    ("--data data/my", "--data my_data"),
    ("--store runs/carvana", "--store made/store"),
    # Its sums of 255² are beyond float16, as the command says.
    ("runs/unet/float --precision fp16", "runs/unet/float --precision fp32"),
)
BUILT = ("street", "carvana", "unet", "cars", "mine", "fcn")


@dataclass(frozen=True)
class Command:
    """A line of a page."""

    page: str
    line: str

    @property
    def reason(self) -> str:
        """Why it is not run; empty for those that are."""
        return next((reason for pattern, reason in NOT_RUN if re.search(pattern, self.line)), "")


def commands() -> list[Command]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] == "densecast":
                    found.append(Command(page.name, shlex.join(words)))
    return found


def test_each_line_is_run_or_left_out_for_a_reason_that_holds() -> None:
    lines = [command.line for command in commands()]
    for pattern, reason in NOT_RUN:
        assert any(re.search(pattern, line) for line in lines), f"nothing is left out by {pattern!r} ({reason})"
        for place in re.findall(r"tests?[/_][\w/.]+|parity/", reason):
            names = (ROOT / place, ROOT / "tests" / place, ROOT / "tests" / "reproduce" / place)
            assert any(name.exists() for name in names), place
    assert sum(not command.reason for command in commands()) >= 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that the pages name: artifacts, pictures with masks, a video, a large picture."""
    root = tmp_path_factory.mktemp("pages")
    colour_network.built(root)
    for index in range(30):
        labels = made_mask_folders.labels_of(index)
        # Brighter from picture to picture, by so little that the nearest colour stays what it was.
        picture = np.clip(made_mask_folders.painted(labels).astype(int) + index // 3, 0, 255).astype(np.uint8)
        made_mask_folders.write(root / "my_data" / "images" / f"p{index:02d}.png", picture)
        made_mask_folders.write(root / "my_data" / "masks" / f"p{index:02d}.png", labels)
    for name in ("photos", "tiles"):
        shutil.copytree(root / "my_data" / "images", root / name)
    shutil.copytree(root / "my_data" / "images", root / "carvana" / "imgs")
    for name in ("photo.jpg", "street.jpg"):
        made_mask_folders.write(root / name, made_mask_folders.painted(made_mask_folders.labels_of(1)))
    made_mask_folders.write(
        root / "city.tif", made_mask_folders.painted(made_mask_folders.labels_of(2, size_hw=(200, 300)))
    )
    made_videos.write(root / "drive.mp4", size_hw=(48, 64))
    shutil.copy(root / "colours.onnx", root / "my_model.onnx")
    for name in BUILT:
        for folder in ("int8", "built", "fp32"):
            shutil.copytree(root / "built", root / "runs" / name / folder)
        shutil.copytree(root / "float", root / "runs" / name / "float")
    for name in ("my_model__float", "small__float"):
        shutil.copytree(root / "float", root / "runs" / "mine" / name)
    return root


@pytest.mark.slow
def test_commands_of_all_pages_end_well(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    failed = []
    for number, command in enumerate(command for command in commands() if not command.reason):
        line = command.line
        for name, here in STAND_INS:
            line = line.replace(name, here)
        words = shlex.split(line)[1:]
        # Every page begins anew: results of another page would be somebody else's.
        words = [re.sub(r"^(results|out|handed|runs/\w+/new)\b", rf"made/{number}/\1", word) for word in words]
        ended = densecast(*words, *(["--count", "2", "--seconds", "0"] if words[0] == "benchmark" else []))
        if ended.code:
            failed.append(f"{command.page}: {shlex.join(words)}\n    {ended.err.strip()[-400:]}")
    assert not failed, "\n".join(failed)
