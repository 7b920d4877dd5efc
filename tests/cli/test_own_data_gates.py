"""Own pictures and masks under the gates: what `build --max-drop` and `compare` hold to is the plain mIoU."""

from __future__ import annotations

import json
from pathlib import Path

import colour_network
import numpy as np
import pytest
from command_line import densecast, failed
from made_mask_folders import labels_of, pairs, write

COUNT = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float` and `built`."""
    folder = tmp_path_factory.mktemp("model")
    colour_network.built(folder, 3)
    return folder


def truth(index: int) -> np.ndarray:
    labels = labels_of(index)
    labels[:5] = 2
    return labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Masks hold 10 and 20 for the classes 1 and 2, in folders of names that are no convention."""
    root = pairs(tmp_path / "d", count=COUNT, images="in", masks="gt")
    for index in range(COUNT):
        write(root / "gt" / f"p{index:02d}.png", (truth(index) * 10).astype(np.uint8))
    return root


OWN = ("--images-dir", "in", "--masks-dir", "gt", "--remap", "10=1", "--remap", "20=2", "--dataset", "pairs")


def plain_miou(indices: list[int]) -> float:
    confusion = np.zeros((3, 3))
    for index in indices:
        np.add.at(confusion, (truth(index), labels_of(index)), 1)
    both = np.diagonal(confusion)
    return float(np.mean(both / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)))


@pytest.mark.slow
@pytest.mark.quantize
def test_a_largest_drop_is_measured_in_the_plain_miou(model: Path, data: Path, tmp_path: Path) -> None:
    ended = densecast(
        "build", model / "float", "-b", "onnxruntime", "--max-drop", "0.5", "--time-budget", "20s", "--data", data,
        *OWN, "--drop-split", "all", "--drop-images", str(COUNT), "--out", tmp_path / "int8", "-q", "--json", "-",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    search = json.loads(ended.out)["search"]
    measured = [int(name[1:]) for name in search["ids"]]
    assert search["metric"] == "mIoU" and search["images"] == len(measured)
    assert search["reference"] == pytest.approx(plain_miou(measured), abs=1e-9)
    # The classes lie far apart: int8 changes no label, and so loses nothing.
    (int8,) = (trial for trial in search["trials"] if trial["name"] == "int8")
    assert int8["drop"]["value"] == 0 and search["within_limit"]


@pytest.mark.slow
def test_compare_scores_own_data_and_its_gate_holds(model: Path, data: Path, tmp_path: Path) -> None:
    flags = ("--data", data, *OWN, "--split", "all", "-q")
    ended = densecast("compare", model / "built", model / "built", *flags, "--max-drop", "0", "--json", "-")
    assert ended.code == 0, ended.err
    (stage,) = json.loads(ended.out)
    assert stage["metric"]["reference"] == pytest.approx(plain_miou(list(range(COUNT))), abs=1e-12)
    other = tmp_path / "other"
    # A network of which two classes have changed places.
    colours = list(colour_network.COLOURS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colour_network, "COLOURS", (colours[0], colours[2], colours[1], colours[3]))
        colour_network.built(other, 3)
    # What is lost is all but the background and the blue class; limits are in points, hundredths of it.
    lost = json.loads(densecast("compare", model / "built", other / "built", *flags, "--json", "-").out)[0]["metric"]
    points = 100 * (lost["reference"] - lost["candidate"])
    message = failed(1, "compare", model / "built", other / "built", *flags, "--max-drop", f"{points - 0.1}")
    assert "beyond the stated limits" in message and points > 1
    within = densecast("compare", model / "built", other / "built", *flags, "--max-drop", f"{points + 0.1}")
    assert within.code == 0, within.err
