"""Normalisation of groups by older operators gives what PyTorch gives, in either of the forms that ONNX had for it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from densecast.graph import spell_group_norm

SCALES = {18: [0.5, 3.0], 21: [0.5, 1.0, 2.0, 3.0]}


def graph(opset: int, sizes: str) -> onnx.ModelProto:
    numbers = ", ".join(map(str, SCALES[opset]))
    count = len(SCALES[opset])
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": {opset}]>
        g (float[{sizes}] image) => (float[{sizes}] y)
        <float[{count}] scale = {{{numbers}}}, float[{count}] bias = {{{numbers}}}> {{
            twice = Add (image, image)
            y = GroupNormalization <num_groups = 2, epsilon = 0.25> (twice, scale, bias)
        }}"""
    )


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize(("sizes", "shape"), [("N, 4, H, W", (2, 4, 5, 6)), ("N, 4, L", (3, 4, 7))])
def test_it_is_the_normalisation_of_torch(opset: int, sizes: str, shape: tuple[int, ...]) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    per_channel = torch.tensor(np.repeat(SCALES[opset], 4 // len(SCALES[opset])).astype(np.float32))
    wanted = functional.group_norm(torch.from_numpy(2 * image), 2, per_channel, per_channel, eps=0.25)

    result = spell_group_norm.apply(graph(opset, sizes))

    assert result.changed
    onnx.checker.check_model(result.model, full_check=True)
    (found,) = ReferenceEvaluator(result.model).run(None, {"image": image})
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_shapes_behind_it_are_known() -> None:
    model = spell_group_norm.apply(graph(21, "1, 4, 8, 8")).model
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    known = {value.name: value.type.tensor_type for value in (*inferred.graph.value_info, *inferred.graph.output)}
    assert all(known[node.output[0]].elem_type for node in model.graph.node)


def test_a_scale_that_is_computed_is_left_as_it_is() -> None:
    model = graph(21, "N, 4, H, W")
    model.graph.input.extend([onnx.helper.make_tensor_value_info("scale", 1, [4])])
    del model.graph.initializer[0]
    result = spell_group_norm.apply(model)
    assert not result.changed and "known" in result.notes
