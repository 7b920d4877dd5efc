"""What needs no pass of its own: nodes nobody reads, casts to the same type, transposes that undo each other."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
from onnx.reference import ReferenceEvaluator

from densecast.graph import fold_constants


def test_dead_nodes_idle_casts_and_pairs_of_transposes_are_gone_after_folding() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        idle (float[1, 3, 8, 8] image) => (float[1, 3, 8, 8] y)
        {
            unread = Sigmoid (image)
            cast = Cast <to = 1> (image)
            last = Transpose <perm = [0, 2, 3, 1]> (cast)
            bent = Relu (last)
            first = Transpose <perm = [0, 3, 1, 2]> (bent)
            same = Identity (first)
            y = Neg (same)
        }
        """
    )
    folded = fold_constants.apply(model).model
    assert [node.op_type for node in folded.graph.node] == ["Relu", "Neg"]
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    before, after = (ReferenceEvaluator(each).run(None, {"image": image})[0] for each in (model, folded))
    np.testing.assert_array_equal(after, before)
