"""Bring an ONNX file of your own: say how its images are prepared, then compare int8 with float32 on your images.

The file and the images here are made on the spot; yours come from anywhere. Needs the [quantize] extra.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from PIL import Image

import densecast

NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
brightness (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
<float[2, 3, 1, 1] weight = {-2, -2, -2, 2, 2, 2}, float[2] bias = {2.4, -2.4}>
{ logits = Conv(image, weight, bias) }
"""


def write_photos(folder: Path) -> None:
    """Four images of coloured patches."""
    folder.mkdir()
    rng = np.random.default_rng(8)
    for index in range(4):
        patches = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(patches).resize((128, 96)).save(folder / f"{index}.png")


def main() -> None:
    """Print how far int8 is from float32 for a network that tells bright pixels from dark ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(onnx.parser.parse_model(NETWORK), folder / "bright.onnx")
        write_photos(folder / "photos")
        preprocess = densecast.Preprocess(densecast.Native())  # the image at its own size, divided by 255
        exported = densecast.export(
            folder / "bright.onnx", folder / "float", labels=("dark", "bright"), preprocess=preprocess
        )
        shape = densecast.InputShape(height=96, width=128)
        exact = densecast.build(exported, folder / "fp32", densecast.BuildOptions(shape=shape))
        quantize = densecast.QuantizeOptions(images=4)
        options = densecast.BuildOptions(precision="qint8_mixed_float16", shape=shape, quantize=quantize)
        small = densecast.build(exported, folder / "int8", options, data=folder / "photos")
        result = densecast.compare(exact.folder, [small.folder], images=folder / "photos")
        int8 = result.stages[-1].comparison
        print(f"{int8.ran}: {int8.labels_changed:.3%} of the labels change, error {int8.relative_error:.1e}")


if __name__ == "__main__":
    main()
