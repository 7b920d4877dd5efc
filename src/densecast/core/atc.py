"""The arguments of Ascend's compiler `atc`, for whoever calls it: a backend here, or people on another machine."""

from __future__ import annotations

from collections.abc import Sequence

from densecast.core.precision import Precision
from densecast.core.tensor import TensorSpec

# ATC's name of each precision; int8 layers come with the graph that AMCT has written, the rest is as in float16.
PRECISION_MODES: dict[Precision, str] = {
    "force_float32": "must_keep_origin_dtype",
    "force_float16": "force_fp16",
    "qint8_mixed_float16": "force_fp16",
}
_ONNX = 5


def arguments(
    model: str, output: str, spec: TensorSpec, precision: Precision, soc: str, sizes_hw: Sequence[tuple[int, int]]
) -> list[str]:
    """All arguments; `output` is without `.om`. Several input sizes become gears of `--dynamic_dims`.

    >>> spec = TensorSpec("input", "float32", (1, 3, 500, 500))
    >>> arguments("m.onnx", "m_bs1", spec, "force_float16", "Ascend310", [(500, 500)])[4]
    '--input_shape=input:1,3,500,500'
    """
    one = len(sizes_hw) == 1
    size = ",".join(map(str, sizes_hw[0] if one else (-1, -1)))
    gears = [f"--dynamic_dims={';'.join(f'{height},{width}' for height, width in sizes_hw)}"]
    return [
        f"--framework={_ONNX}",
        f"--model={model}",
        f"--output={output}",
        f"--input_format={'NCHW' if one else 'ND'}",
        f"--input_shape={spec.name}:{spec.shape[0]},{spec.shape[1]},{size}",
        *([] if one else gears),
        f"--precision_mode={PRECISION_MODES[precision]}",
        "--log=error",
        f"--soc_version={soc}",
    ]
