"""Networks that make pictures of pictures have three planes, which are no classes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from densecast.errors import BadGraphError  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import export  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SMALL = ExportOptions(size_hw=(64, 64), batch=1)


def test_networks_that_make_pictures_are_no_segmentation_of_three_labels(tmp_path: Path) -> None:
    net = type("Swin2SRForImageSuperResolution", (torch.nn.Conv2d,), {})(3, 3, 1)
    with pytest.raises(BadGraphError, match="makes pictures of pictures"):
        export(net, tmp_path / "out", labels=3, options=SMALL)


def test_three_planes_that_are_larger_than_the_image_are_remarked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, channels, told in (("colours", 3, True), ("classes", 4, False)):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4 * channels, 1), torch.nn.PixelShuffle(2))
        caplog.clear()
        export(net, tmp_path / name, labels=channels, preprocess="imagenet", options=SMALL)
        assert ("makes pictures larger" in caplog.text) is told
