"""Bring an ONNX file of your own: say how its images are prepared, then compare int8 with float32 on your pictures.

The file here is made on the spot; yours comes from anywhere. Needs the [quantize] extra.
"""

import tempfile
from pathlib import Path

import onnx
import onnx.parser
from PIL import Image

from densecast import BuildOptions, InputShape, Pipeline, QuantizeOptions, export_file
from densecast.scenes import turntable
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.builder import build
from densecast.verbs.compare import compare
from densecast.verbs.export.spec_file import SpecFile

NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
brightness (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
<float[2, 3, 1, 1] weight = {-2, -2, -2, 2, 2, 2}, float[2] bias = {2.4, -2.4}>
{ logits = Conv(image, weight, bias) }
"""


def main() -> None:
    """Print how far int8 is from float32 for a network that tells bright pixels from dark ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(onnx.parser.parse_model(NETWORK), folder / "bright.onnx")
        (folder / "photos").mkdir()
        for index in range(4):
            Image.fromarray(turntable.render(8, index, (96, 128)).image).save(folder / "photos" / f"{index}.png")
        spec = SpecFile(labels=("dark", "bright"), preprocess=Preprocess(Native()))
        exported = export_file(folder / "bright.onnx", spec.model("bright"), folder / "float")
        shape = InputShape(height=96, width=128)
        exact = build(exported, folder / "fp32", BuildOptions(shape=shape))
        small = build(
            exported,
            folder / "int8",
            BuildOptions(precision="qint8_mixed_float16", shape=shape, quantize=QuantizeOptions(images=4)),
            data=folder / "photos",
        )
        with Pipeline.open(exact) as reference, Pipeline.open(small) as candidate:
            found = compare(reference, candidate, sorted((folder / "photos").iterdir()))
        print(f"{found.ran}: {found.labels_changed:.3%} of the labels change, error {found.relative_error:.1e}")


if __name__ == "__main__":
    main()
