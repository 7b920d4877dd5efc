"""Modules that take some sizes only, decide by size, mix a batch or pool adaptively: found out, or refused in words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from densecast.artifact import FloatArtifact  # noqa: E402
from densecast.errors import BadConfigError, BadGraphError, UsageError  # noqa: E402
from densecast.spec.preprocess import Preprocess, Stretch  # noqa: E402
from densecast.spec.tensor import Dim  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import export, onnx_file, open_pooling, parity  # noqa: E402

# torch announces the end of TorchScript.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

functional = torch.nn.functional


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A convolution to three classes behind or before what a case does."""

    def __init__(self, way: Any, stride: int = 1) -> None:
        super().__init__()
        torch.manual_seed(3)
        side = stride if stride > 1 else 3
        self.conv = torch.nn.Conv2d(3, 3, side, stride, padding=0 if stride > 1 else 1)
        self.way = way

    def forward(self, image: Any) -> Any:
        return self.way(self, image)


def patches(net: Net, image: Any) -> Any:
    """A map of whole patches: what is left over at the border has no value."""
    return functional.interpolate(net.conv(image), scale_factor=float(net.conv.stride[0]), mode="bilinear")


def whole_patches(net: Net, image: Any) -> Any:
    side = net.conv.stride[0]
    if image.shape[2] % side or image.shape[3] % side:
        raise ValueError(f"the image is not made of patches of {side}")
    return patches(net, image)


def exported(net: Any, folder: Path, **given: Any) -> FloatArtifact:
    return export(net, folder / "float", labels=["a", "b", "c"], example=(96, 128), **given)


def run(artifact: FloatArtifact, feed: Any) -> Any:
    graph = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())
    return graph({artifact.spec.input.name: feed})[artifact.spec.output.name]


def own(net: Any, feed: Any) -> Any:
    with torch.inference_mode():
        return net.eval()(torch.from_numpy(feed)).numpy()


@pytest.mark.parametrize("way", [patches, whole_patches])
@pytest.mark.parametrize("side", [14, 12])
def test_a_module_of_patches_is_given_whole_ones(way: Any, side: int, tmp_path: Path) -> None:
    artifact = exported(Net(way, side), tmp_path)
    assert artifact.spec.preprocess.pad_multiple == side
    assert any(f"multiples of {side}: images are padded" in note for note in artifact.manifest.passes)
    feed = parity.image_like((1, 3, 5 * side, 8 * side), 1)
    assert run(artifact, feed).shape == (1, 3, 5 * side, 8 * side)


def test_so_is_a_graph_of_patches(tmp_path: Path) -> None:
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "opset_version": 17}
    axes = {"image": {0: "n", 2: "h", 3: "w"}, "logits": {0: "n", 2: "a", 3: "b"}}
    path = tmp_path / "net.onnx"
    torch.onnx.export(Net(patches, 14), (torch.zeros(1, 3, 28, 42),), path, dynamo=False, dynamic_axes=axes, **names)
    artifact = export(path, tmp_path / "float", labels=["a", "b", "c"])
    assert artifact.spec.preprocess.pad_multiple == 14
    height = artifact.spec.input.shape[2]
    assert isinstance(height, Dim) and height.multiple == 14


def test_a_module_of_one_size_that_its_error_names_is_fixed_to_it(tmp_path: Path) -> None:
    def of_one_size(net: Net, image: Any) -> Any:
        if tuple(image.shape[2:]) != (112, 112):
            raise ValueError(f"Input height ({image.shape[2]}) doesn't match model (112).")
        return net.conv(image)

    artifact = exported(Net(of_one_size), tmp_path, preprocess=None)
    assert artifact.spec.input.shape[2:] == (112, 112)
    assert any("only 112×112 works" in note for note in artifact.manifest.passes)


DECISIONS = {
    "large images": lambda net, x: net.conv(x) * (2 if max(x.shape[2:]) > 600 else -1),
    "large areas": lambda net, x: net.conv(x) + (5 * x.mean(1, True) if x.shape[2] * x.shape[3] > 2**17 else 0),
    "tall images": lambda net, x: net.conv(x.flip(1) if x.shape[2] > 2 * x.shape[3] else x),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_module_that_decides_by_the_size_is_refused_with_the_place_and_exported_for_one_size(
    name: str, tmp_path: Path
) -> None:
    net = Net(DECISIONS[name])
    with pytest.raises(BadGraphError, match=r"decides by the image's size \(test_sizes_of_modules\.py:\d+\)") as caught:
        exported(net, tmp_path)
    assert caught.value.field == "size_hw" and not (tmp_path / "float").exists()
    artifact = exported(net, tmp_path, options=ExportOptions(size_hw=(96, 128), batch=1))
    feed = parity.image_like((1, 3, 96, 128), 1)
    np.testing.assert_allclose(run(artifact, feed), own(net, feed), atol=1e-4)


def test_and_for_the_sizes_of_one_way(tmp_path: Path) -> None:
    said = {"labels": ["a", "b", "c"], "side": {"min": 64, "max": 512}}
    artifact = export(Net(DECISIONS["large images"]), tmp_path / "float", spec=said, example=(96, 128))
    height = artifact.spec.input.shape[2]
    assert isinstance(height, Dim) and (height.min, height.max) == (64, 512)


def test_a_spec_of_another_kind_is_refused(tmp_path: Path) -> None:
    net = Net(lambda net, x: net.conv(x))
    with pytest.raises(UsageError, match="contents, or a ModelSpec, got int"):
        export(net, tmp_path / "float", spec=3)  # type: ignore[arg-type]
    with pytest.raises(BadConfigError, match="sides"):
        export(net, tmp_path / "float", spec={"labels": ["a", "b", "c"], "sides": 3})


def test_small_images_that_a_module_treats_otherwise_are_left_out(tmp_path: Path) -> None:
    net = Net(lambda net, x: net.conv(x) + (5 * x.mean(1, True) if x.shape[2] < 40 else 0))
    artifact = exported(net, tmp_path)
    assert [size.min for size in artifact.spec.input.shape[2:]] == [64, 64]
    assert any("below 64×64 its code decides otherwise (test_sizes" in note for note in artifact.manifest.passes)


@pytest.mark.parametrize("side", [64, pytest.param(224, marks=pytest.mark.slow)])
def test_a_module_that_fills_up_windows_is_given_whole_ones(side: int, tmp_path: Path) -> None:
    """As transformers do: what is added to the image traced is added to each by the graph."""

    def windows(net: Net, image: Any) -> Any:
        height, width = image.shape[2:]
        below, right = -height % side, -width % side
        if below > 0 or right > 0:
            image = functional.pad(image, (0, int(right), 0, int(below)))
        rows = image.unflatten(2, (-1, side)).unflatten(4, (-1, side)).mean((3, 5))
        means = functional.interpolate(rows, scale_factor=float(side))
        return net.conv(image - means)[:, :, :height, :width]

    net = Net(windows)
    artifact = exported(net, tmp_path)
    assert artifact.spec.preprocess.pad_multiple == side
    assert any("decides by the image's size (test_sizes" in note for note in artifact.manifest.passes)
    feed = parity.image_like((1, 3, 2 * side, 3 * side), 1)
    np.testing.assert_allclose(run(artifact, feed), own(net, feed), atol=2e-5)


def test_checks_of_sizes_that_lead_nowhere_else_are_no_decisions(tmp_path: Path) -> None:
    def checked(net: Net, image: Any) -> Any:
        if image.shape[2] < 8 or image.shape[3] < 8:
            raise ValueError("too small")
        return net.conv(image)

    artifact = exported(Net(checked), tmp_path)
    assert not artifact.spec.input.is_static


def test_a_module_that_mixes_the_images_of_a_batch_takes_one_at_a_time(tmp_path: Path) -> None:
    net = Net(lambda net, x: net.conv(x - x.mean((0, 2, 3), keepdim=True)))
    artifact = exported(net, tmp_path)
    assert artifact.spec.input.shape[0] == artifact.spec.output.shape[0] == 1
    assert any("depends on the other images" in note for note in artifact.manifest.passes)


def test_statistics_of_the_image_itself_are_no_mixing(tmp_path: Path) -> None:
    artifact = exported(Net(lambda net, x: net.conv(x - x.mean((2, 3), keepdim=True))), tmp_path)
    assert isinstance(artifact.spec.input.shape[0], Dim)


@pytest.mark.parametrize("exporter", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_adaptive_pooling_keeps_sizes_open(exporter: Any, tmp_path: Path) -> None:
    pools = [torch.nn.AdaptiveAvgPool2d(bins) for bins in (1, 2, 3, 6, (5, 4), (None, 3))]

    def pyramid(net: Net, image: Any) -> Any:
        maps = net.conv(image)
        return maps + sum(functional.interpolate(pool(maps), size=maps.shape[2:], mode="bilinear") for pool in pools)

    net = Net(pyramid)
    artifact = exported(net, tmp_path, options=ExportOptions(exporter=exporter))
    for shape in ((1, 3, 61, 150), (2, 3, 96, 40), (1, 3, 130, 35)):
        feed = parity.image_like(shape, 1)
        np.testing.assert_allclose(run(artifact, feed), own(net, feed), atol=2e-5)


def test_other_threads_keep_torchs_own_pooling_meanwhile() -> None:
    from torch.nn import functional

    image = torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(0))
    profiled: list[set[str]] = []

    def pooled() -> torch.Tensor:
        with torch.profiler.profile() as profile:
            result = functional.adaptive_avg_pool2d(image, 5)
        profiled.append({each.key for each in profile.key_averages()})
        return result

    own = pooled()
    with open_pooling.replaced(is_open=True), ThreadPoolExecutor(1) as pool:
        here, elsewhere = pooled(), pool.submit(pooled).result()
    assert torch.equal(elsewhere, own) and torch.allclose(here, own, atol=1e-6)
    assert ["aten::matmul" in each for each in profiled] == [False, True, False]


def test_adaptive_pooling_of_fixed_multiples_stays_a_pooling_and_of_others_is_exact(tmp_path: Path) -> None:
    import onnx

    net = Net(lambda net, x: functional.interpolate(functional.adaptive_avg_pool2d(net.conv(x), 4), size=x.shape[2:]))
    for size_hw, is_pooling in (((64, 96), True), ((61, 90), False)):
        artifact = exported(net, tmp_path, options=ExportOptions(size_hw=size_hw, batch=1))
        operators = {node.op_type for node in onnx.load(artifact.file("model.onnx")).graph.node}
        assert ("AveragePool" in operators) is is_pooling
        feed = parity.image_like((1, 3, *size_hw), 1)
        np.testing.assert_allclose(run(artifact, feed), own(net, feed), atol=2e-5)


WRAPPED = {
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "data parallel": torch.nn.DataParallel,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "averaged and parallel": lambda net: torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(net)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "compiled" else name for name in WRAPPED]
)
def test_a_module_is_exported_from_inside_of_what_runs_it(name: str, tmp_path: Path) -> None:
    net = Net(lambda net, x: net.conv(x))
    artifact = exported(WRAPPED[name](net), tmp_path)
    assert artifact.manifest.source.endswith(".Net")
    feed = parity.image_like((1, 3, 40, 50), 1)
    np.testing.assert_allclose(run(artifact, feed), own(net, feed), atol=1e-5)


def test_a_network_of_volumes_is_told_from_one_of_images(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.Conv3d(4, 3, 1))
    with pytest.raises(BadGraphError, match=r"takes volumes .*Conv3d"):
        exported(net, tmp_path)
    lifted = Net(lambda net, x: net.volumes(x.unsqueeze(2)).squeeze(2))
    lifted.volumes, lifted.conv = torch.nn.Conv3d(3, 3, 1), torch.nn.Identity()
    assert not exported(lifted, tmp_path).spec.input.is_static


def test_a_difference_of_a_thousandth_at_other_sizes_is_looked_into(tmp_path: Path) -> None:
    """A network that fills up to whole windows, and hardly weighs what it added."""

    def windows(net: Net, image: Any) -> Any:
        below = -image.shape[2] % 32
        if below > 0:
            image = functional.pad(image, (0, 0, 0, int(below)))
        whole = net.conv(image)
        return whole[:, :, : image.shape[2] - int(below)] + 0.02 * int(below)

    artifact = export(Net(windows), tmp_path / "float", labels=["a", "b", "c"], example=(96, 128))
    assert artifact.spec.preprocess.pad_multiple == 32


def squares_of_40(net: Net, image: Any) -> Any:
    """As a transformer with learnt positions of one size."""
    return net.conv(image.reshape(image.shape[0], 3, 40, 40))


def own_padding(net: Net, image: Any) -> Any:
    """As MobileNetV2 of transformers: how much is padded is a plain number of the size that is traced."""
    below = -int(image.shape[2]) % 16
    return functional.interpolate(net.conv(functional.pad(image, (0, 0, below, 0))), image.shape[2:], mode="bilinear")


def whole_windows(net: Net, image: Any) -> Any:
    """As Swin: filled up to whole windows at each level, which is nothing at the size that images are brought to."""
    rest = [-int(side) % 128 for side in image.shape[2:]] if max(image.shape) > 100 else [0, 0]
    return net.conv(functional.pad(image, (rest[1], 0, rest[0], 0)))[:, :, rest[0] :, rest[1] :] + 0.1 * rest[0]


@pytest.mark.parametrize("way", [squares_of_40, own_padding, whole_windows])
def test_where_open_sizes_fail_the_size_that_all_images_are_brought_to_is_taken(way: Any, tmp_path: Path) -> None:
    net, rule = Net(way), Preprocess(Stretch((40, 40)))
    artifact = export(net, tmp_path / "float", labels=["a", "b", "c"], preprocess=rule)
    shape, feed = artifact.spec.input.shape, parity.image_like((1, 3, 40, 40), 1)
    assert shape[2:] == (40, 40) and artifact.spec.preprocess.pad_multiple == 1, "no pixel is added"
    assert any("height and width are fixed" in note for note in artifact.manifest.passes)
    np.testing.assert_allclose(run(artifact, feed), own(net, feed), rtol=1e-4, atol=1e-5)


def test_sizes_that_can_stay_open_do_so_and_are_traced_at_that_of_the_images(tmp_path: Path) -> None:
    seen = []

    def watched(net: Net, image: Any) -> Any:
        seen.append(tuple(int(side) for side in image.shape[2:]))
        return net.conv(image)

    artifact = export(Net(watched), tmp_path / "float", labels=3, preprocess=Preprocess(Stretch((40, 56))))
    assert isinstance(artifact.spec.input.shape[2], Dim) and (40, 56) in seen and (512, 512) not in seen


def folded(net: Net, image: Any) -> Any:
    """Puts patches together again, for which ONNX has an operator since opset 18."""
    columns = functional.unfold(net.conv(image), 2, stride=2)
    return functional.fold(columns, (40, 40), 2, stride=2)


def test_the_default_opset_is_raised_to_what_an_operator_needs(tmp_path: Path) -> None:
    net, options = Net(folded), {"labels": 3, "preprocess": Preprocess(Stretch((40, 40)))}
    artifact = export(net, tmp_path / "float", options=ExportOptions(size_hw=(40, 40), batch=1), **options)
    assert any("opset 18" in note for note in artifact.manifest.passes)
    feed = parity.image_like((1, 3, 40, 40), 1)
    np.testing.assert_allclose(run(artifact, feed), own(net, feed), rtol=1e-4, atol=1e-5)
    with pytest.raises(BadGraphError, match="col2im"):
        export(net, tmp_path / "old", options=ExportOptions(opset=16, exporter="torchscript"), **options)


def folding(net: Net, image: Any) -> Any:
    """Patches are columns on the way, as in MobileViTV2."""
    columns = functional.unfold(net.conv(image), (4, 4), stride=4, padding=(0, 2))
    return functional.fold(columns, tuple(image.shape[2:]), (4, 4), stride=4, padding=(0, 2))


def test_a_module_that_folds_columns_is_of_the_one_size_that_images_are_brought_to(tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=r"one size alone.*col2im.*--static"):
        exported(Net(folding), tmp_path)
    artifact = exported(Net(folding), tmp_path, preprocess=Preprocess(Stretch((64, 96))))
    assert artifact.spec.input.shape[2:] == (64, 96)
    feed = parity.image_like((2, 3, 64, 96), 1)
    np.testing.assert_allclose(run(artifact, feed), own(Net(folding), feed), atol=1e-5)


def test_a_module_that_takes_squares_alone_is_not_tried_with_squares_alone(tmp_path: Path) -> None:
    def of_squares(net: Net, image: Any) -> Any:
        across = (image.shape[2] // 16) * (image.shape[3] // 16)
        if round(across**0.5) ** 2 != across:
            raise ValueError("the patches are no square")
        return net.conv(image)

    net = Net(of_squares)
    artifact = export(net, tmp_path / "out", labels=["a", "b", "c"], preprocess=Preprocess(Stretch((64, 64))))
    assert artifact.spec.input.shape[2:] == (64, 64)


def test_a_package_that_a_network_lacks_is_named_and_no_size_is_blamed(tmp_path: Path) -> None:
    def way(net: Net, x: Any) -> Any:
        import there_is_no_such_package

        return net.conv(there_is_no_such_package.turned(x))

    with pytest.raises(BadGraphError, match=r"not installed .*there_is_no_such_package.*Install it"):
        export(Net(way).eval(), tmp_path / "out", labels=["a", "b", "c"])
