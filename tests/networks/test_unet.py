"""milesial's UNet: published keys and sizes, any input size, and one exported graph for all of them."""

from __future__ import annotations

import dataclasses
import io
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from densecast.errors import BadCheckpointError, BadConfigError  # noqa: E402
from densecast.networks import unet  # noqa: E402

pytestmark = pytest.mark.torch

SMALL = unet.Options(base_width=4)
VARIANTS = {
    "transposed": SMALL,
    "bilinear": dataclasses.replace(SMALL, bilinear=True),
    "with_bias": dataclasses.replace(SMALL, conv_bias=True),
    "bilinear_with_bias": dataclasses.replace(SMALL, bilinear=True, conv_bias=True, classes=1, in_channels=1),
}


def published_keys(options: unet.Options) -> set[str]:
    """The keys as the original's modules name them, written out from its layout and not from our modules."""
    blocks = ["inc"]
    blocks += [f"down{level}.maxpool_conv.1" for level in (1, 2, 3, 4)]
    blocks += [f"up{level}.conv" for level in (1, 2, 3, 4)]
    keys = {"outc.conv.weight", "outc.conv.bias"}
    for block in blocks:
        for conv, norm in ((0, 1), (3, 4)):
            keys.add(f"{block}.double_conv.{conv}.weight")
            if options.conv_bias:
                keys.add(f"{block}.double_conv.{conv}.bias")
            names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            keys |= {f"{block}.double_conv.{norm}.{name}" for name in names}
    if not options.bilinear:
        keys |= {f"up{level}.up.{name}" for level in (1, 2, 3, 4) for name in ("weight", "bias")}
    return keys


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_keys_are_the_originals(options: unet.Options) -> None:
    assert set(unet.build(options).state_dict()) == published_keys(options)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (unet.Options(), 31_037_698),
        (unet.Options(conv_bias=True), 31_043_586),
        (unet.Options(bilinear=True), 17_263_042),
        (unet.Options(bilinear=True, conv_bias=True), 17_267_458),
    ],
    ids=["v3", "v2", "v3_bilinear", "v2_bilinear"],
)
def test_parameter_count_is_the_originals(options: unet.Options, count: int) -> None:
    # The counts come from the layer sizes alone: sum of k·k·in·out (+ out), 2·out per normalisation.
    with torch.device("meta"):
        assert parameters(unet.build(options)) == count


def test_defaults_are_the_published_network() -> None:
    assert unet.Options() == unet.Options(3, 2, 64, bilinear=False, conv_bias=False)


@pytest.mark.parametrize("size_hw", [(16, 16), (17, 31), (33, 16), (47, 64), (40, 59)])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_logits_have_the_size_of_the_input(options: unet.Options, size_hw: tuple[int, int]) -> None:
    network = unet.build(options).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(2, options.in_channels, *size_hw))
    assert logits.shape == (2, options.classes, *size_hw)


def forward_by_functions(state: dict[str, torch.Tensor], x: torch.Tensor, bilinear: bool) -> torch.Tensor:
    """The published network written once more with torch's functions alone, from its state dict."""
    ops = torch.nn.functional

    def double(x: torch.Tensor, block: str) -> torch.Tensor:
        for conv, norm in ((0, 1), (3, 4)):
            at = f"{block}.double_conv."
            x = ops.conv2d(x, state[f"{at}{conv}.weight"], state.get(f"{at}{conv}.bias"), padding=1)
            mean, variance, weight, bias = (
                state[f"{at}{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
            )
            x = ops.relu(ops.batch_norm(x, mean, variance, weight, bias, eps=1e-5))
        return x

    levels = [double(x, "inc")]
    for level in (1, 2, 3, 4):
        levels.append(double(ops.max_pool2d(levels[-1], 2), f"down{level}.maxpool_conv.1"))
    x = levels.pop()
    for level in (1, 2, 3, 4):
        skip = levels.pop()
        if bilinear:
            x = ops.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        else:
            x = ops.conv_transpose2d(x, state[f"up{level}.up.weight"], state[f"up{level}.up.bias"], stride=2)
        rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        padded = torch.zeros(*x.shape[:2], *skip.shape[2:])
        padded[:, :, rows // 2 : rows // 2 + x.shape[2], columns // 2 : columns // 2 + x.shape[3]] = x
        x = double(torch.cat([skip, padded], dim=1), f"up{level}.conv")
    return ops.conv2d(x, state["outc.conv.weight"], state["outc.conv.bias"])


def seeded(options: unet.Options) -> torch.nn.Module:
    """A network with every tensor away from its initial value, so that none can be left out unnoticed."""
    generator = torch.Generator().manual_seed(3)
    network = unet.build(options).eval()
    for name, tensor in network.state_dict().items():
        if tensor.dtype == torch.float32:
            spread = 0.4 + torch.rand(tensor.shape, generator=generator)
            sign = torch.where(torch.rand(tensor.shape, generator=generator) < 0.5, -1.0, 1.0)
            tensor.copy_(spread if "running_var" in name or tensor.ndim == 1 else 0.2 * sign * spread)
    return network


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_logits_equal_plain_functions(options: unet.Options) -> None:
    network = seeded(options)
    image = torch.rand(1, options.in_channels, 37, 59, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = forward_by_functions(network.state_dict(), image, options.bilinear)
        found = network(image)
    # The same float32 operators in the same order; convolutions may pick another blocking by memory layout.
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def export_any_size(network: torch.nn.Module, path: Path, dynamo: bool) -> None:
    axes = {2: "height", 3: "width"}
    edges = {name: torch.export.Dim(name, min=unet.INPUT_MIN_PX, max=4096) for name in axes.values()}
    shapes: dict[str, object] = (
        {"dynamic_shapes": {"image": {axis: edges[name] for axis, name in axes.items()}}}
        if dynamo
        else {"dynamic_axes": {"image": axes, "logits": axes}}
    )
    with warnings.catch_warnings():
        # Both exporters warn of deprecations in torch itself.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(1, 3, 48, 61),),
            path,
            input_names=["image"],
            output_names=["logits"],
            dynamo=dynamo,
            verbose=False,
            **shapes,
        )


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("variant", ["transposed", "bilinear"])
def test_one_exported_graph_serves_every_size(variant: str, dynamo: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = seeded(VARIANTS[variant])
    export_any_size(network, tmp_path / "unet.onnx", dynamo)
    session = onnxruntime.InferenceSession(str(tmp_path / "unet.onnx"), providers=["CPUExecutionProvider"])
    for size_hw in ((48, 61), (32, 32), (40, 59), (35, 94)):
        image = torch.rand(1, 3, *size_hw, generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            wanted = network(image).numpy()
        (found,) = session.run(None, {"image": image.numpy()})
        # ONNX Runtime folds the normalisations into the convolutions: sums in another order, over 19 layers.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_options_are_read_from_the_tensors(options: unet.Options) -> None:
    state = unet.build(options).state_dict()
    assert unet.options_from_state(state, unet.Options()) == options


def test_what_the_tensors_do_not_tell_stays() -> None:
    base = unet.Options(in_channels=5, classes=7, base_width=6, bilinear=True, conv_bias=True)
    assert unet.options_from_state({}, base) == base


def test_impossible_tensors_are_refused() -> None:
    state = {"inc.double_conv.0.weight": torch.zeros(0, 3, 3, 3)}
    with pytest.raises(BadCheckpointError, match="base_width"):
        unet.options_from_state(state, unet.Options())


def test_tensors_that_claim_absurd_widths_are_refused() -> None:
    # An expanded tensor takes four bytes in a file and still has this shape.
    state = {"inc.double_conv.0.weight": torch.zeros(1).expand(1 << 20, 3, 3, 3)}
    with pytest.raises(BadCheckpointError, match="base_width"):
        unet.options_from_state(state, unet.Options())


@pytest.mark.parametrize("field", ["in_channels", "classes", "base_width"])
def test_options_out_of_bounds_are_refused(field: str) -> None:
    with pytest.raises(BadConfigError, match=field):
        unet.Options(**{field: 0})


def test_clean_keeps_only_the_networks_own_tensors() -> None:
    own = unet.build(SMALL).state_dict()
    published = {f"module.{key}": value for key, value in own.items()} | {"mask_values": [0, 1]}
    assert set(unet.clean(published)) == set(own)
    assert set(unet.clean({"module.mask_values": [0, 1], **{f"module.{key}": own[key] for key in own}})) == set(own)


def test_clean_leaves_a_mixed_file_alone() -> None:
    mixed = {"module.a": torch.zeros(1), "a": torch.ones(1)}
    assert unet.clean(mixed) == mixed


def test_weights_survive_a_file_in_the_published_form() -> None:
    network, restored = seeded(SMALL), unet.build(SMALL).eval()
    stream = io.BytesIO()
    torch.save(network.state_dict() | {"mask_values": [0, 1]}, stream)
    stream.seek(0)
    restored.load_state_dict(unet.clean(torch.load(stream, weights_only=True)))
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(restored(image), network(image))
