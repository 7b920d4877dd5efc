"""What engines and frameworks say of their errors becomes one line with the reason in it."""

from __future__ import annotations

import pytest

from densecast.errors import BadGraphError, BadShapeError
from densecast.runtime import engine_words

SAID = {
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Add node. "
    "Name:'skip' Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/math/element_wise_ops.h:560 void "
    "onnxruntime::BroadcastIterator::Init(ptrdiff_t, ptrdiff_t) axis == 1 || axis == largest was false. Attempting to "
    "broadcast an axis by a dimension other than 1. 16 by 19\n": "Add node 'skip': Attempting to broadcast an axis by "
    "a dimension other than 1. 16 by 19",
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while running Concat node. "
    "Name:'/up1/Concat' Status Message: concat.cc:157 PrepareForCompute Non concat axis dimensions must match: Axis 2 "
    "has mismatched dimensions of 24 and 25": "Concat node '/up1/Concat': Non concat axis dimensions must match: Axis "
    "2 has mismatched dimensions of 24 and 25",
    "[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. Error in Node:x : No Op": "This is an "
    "invalid model. Error in Node:x : No Op",
    "Exception from src/inference/src/cpp/infer_request.cpp:224:\nException from src/plugins/intel_cpu/src/node.cpp:"
    "1846:\nShape inference of Add node with name logits failed: \nException from src/plugins/intel_cpu/src/"
    "shape_inference/custom/eltwise.cpp:47:\nEltwise shape infer input shapes dim index: 2 mismatch\n\n\n\n": "Shape "
    "inference of Add node with name logits failed: Eltwise shape infer input shapes dim index: 2 mismatch",
    "Exception from src/inference/src/cpp/core.cpp:117:\nException from src/inference/src/dev/plugin.cpp:54:\nCheck "
    "'false' failed at src/core/src/node.cpp:150:\nWhile validating node 'opset11::TopK am (opset1::Convolution "
    "conv[0]:f32[1,2,8..512,8..512]) -> (f32[1,1,8..512,8..512])' with friendly_name 'am':\nDefault output not "
    "supported\n\n": "TopK node 'am': Default output not supported",
    "\x1b[1;31mnot\x1b[0m possible.\n": "not possible",
}


@pytest.mark.parametrize("text", SAID)
def test_a_reason_is_one_line_without_places_in_code(text: str) -> None:
    assert engine_words.reason(RuntimeError(text)) == SAID[text]


def test_of_a_trace_the_last_error_is_told() -> None:
    trace = (
        "The export failed.\n\x1b[96mFile /x.py\x1b[0m\n  graph(%0 : Float(1, 3))\n"
        "RuntimeError: Sizes of tensors must match except in dimension 1. Expected 92 but got 91.\n\nNext steps:)."
    )
    told = engine_words.last_telling(RuntimeError(trace))
    assert told == "RuntimeError: Sizes of tensors must match except in dimension 1. Expected 92 but got 91"


def test_only_engines_errors_become_ours() -> None:
    with (
        pytest.raises(BadGraphError, match=r"^it cannot build \(no kernel\)\. Use another\.$"),
        engine_words.as_ours("it cannot build", "Use another."),
    ):
        raise RuntimeError("no kernel.")
    with pytest.raises(MemoryError), engine_words.as_ours("it failed", kind=BadShapeError):
        raise RuntimeError("std::bad_alloc")
    with pytest.raises(KeyError), engine_words.as_ours("it failed"):
        raise KeyError("own")
