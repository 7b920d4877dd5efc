"""The untouched frozen graph in TensorFlow against the separated network in each engine, on real photographs.

    python parity/check_tensorflow.py frozen_inference_graph.pb PHOTOS…          # the [tensorflow] extra is needed

Labels at the size of the graph's input, aspect kept: the share that is equal, and for every other pixel how far apart
the two classes' logits are there. Exit code 1 below 99.9 % in any image, or with a pixel that is not nearly tied.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast import BuildOptions, ExportOptions, Pipeline, build, export_zoo
from densecast.imaging.folder import images_in
from densecast.imaging.prepare import resize
from densecast.io import codec, files
from densecast.kernels import bilinear
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.spec.precision import Precision, short
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export.tensorflow_source import ConversionSubprocess

MODEL = "deeplabv3_mnv2_voc"
ENGINES = ("onnxruntime", "openvino")
LEAST_EQUAL = 0.999
# Two float32 engines differ by about 1e-5 of the largest logit (20 to 40 here) after fifty layers.
LARGEST_TIE = 1e-3
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


def tensorflow_labels(graph: Path, images: dict[str, npt.NDArray[np.uint8]]) -> dict[str, Labels]:
    """What the untouched graph says of each image, in TensorFlow in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        conversion = ConversionSubprocess(Path(scratch), str(graph))
        converted = conversion.run(task="convert", graph=str(graph.resolve()), input=None, output=None, opset=17)
        np.savez(conversion.folder / "inputs.npz", **{name: image[None] for name, image in images.items()})
        conversion.run(task="run", input=converted["input"], output=converted["output"], logits=None)
        with np.load(conversion.folder / "outputs.npz") as stored:
            return {name: stored[name][0].astype(np.uint8) for name in stored.files}


def gaps(logits: Floats, size_hw: tuple[int, int], labels: Labels, expected: Labels) -> Floats:
    """How far apart the two classes' upsampled logits are where two label maps differ, of the largest logit."""
    rows, cols = (bilinear.taps(have, want, True) for have, want in zip(logits.shape[1:], size_hw, strict=True))
    y, x = np.nonzero(labels != expected)
    corners = [
        logits[:, row[y], col[x]] * (row_weight[y] * col_weight[x])
        for row, row_weight in ((rows.first, rows.first_weight), (rows.second, rows.second_weight))
        for col, col_weight in ((cols.first, cols.first_weight), (cols.second, cols.second_weight))
    ]
    values = np.sum(corners, axis=0)
    picked = np.arange(len(y))
    difference = np.abs(values[labels[y, x], picked] - values[expected[y, x], picked])
    return np.asarray(difference / np.abs(logits).max(), dtype=np.float32)


def compare(
    graph: Path, photos: list[Path], folder: Path, precisions: list[Precision], calibration: Path | None
) -> dict[str, Any]:
    """Every photo in every engine and precision, against TensorFlow."""
    exported = export_zoo(MODEL, folder / "float", ExportOptions(), given=graph)
    preprocess = exported.spec.preprocess
    images: dict[str, npt.NDArray[np.uint8]] = {}
    sized: dict[str, npt.NDArray[np.uint8]] = {}
    predictions: dict[str, Any] = {}
    for engine in ENGINES:
        for precision in precisions:
            case = f"{engine} {short(precision)}"
            options = BuildOptions(engine, precision)
            built = build(exported, folder / case.replace(" ", "_"), options, data=calibration)
            with Pipeline.open(built) as pipeline:
                for photo in photos:
                    image = images.setdefault(photo.stem, pipeline.read(photo))
                    content_hw = preprocess.resize.place((image.shape[0], image.shape[1])).content_hw
                    sized[photo.stem] = resize(image, content_hw, preprocess.interpolation)
                    inputs = pipeline.preprocess(image)
                    outputs = pipeline.forward(inputs)
                    prediction = pipeline.postprocess(outputs, inputs, "network")
                    logits = outputs[0][pipeline.spec.output.name]
                    predictions.setdefault(photo.stem, {})[case] = (prediction.class_id, logits)
    assert isinstance(exported.spec.decode, SegmentationDecode)
    expected = tensorflow_labels(exported.file("graph.pb"), sized)
    model_hw = (int(exported.spec.input.shape[2]), int(exported.spec.input.shape[3]))  # type: ignore[arg-type]
    results: dict[str, Any] = {}
    for name, cases in predictions.items():
        for case, (labels, logits) in cases.items():
            apart = gaps(logits, model_hw, labels, expected[name])
            results.setdefault(name, {})[case] = {
                "equal": float((labels == expected[name]).mean()),
                "different_pixels": len(apart),
                "largest_gap": float(apart.max(initial=0.0)),
            }
    return results


def main() -> int:
    """Compare, print a table, write JSON; 1 if float32 differs by more than rounding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("graph", type=Path, help="frozen_inference_graph.pb or the published archive")
    parser.add_argument("photos", type=Path, nargs="+", help="files, or folders of images")
    parser.add_argument("--calibration", type=Path, help="a folder of images: compare 16 bits and int8, too")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    photos = [path for given in arguments.photos for path in (images_in(given) if given.is_dir() else [given])]
    precisions: list[Precision] = ["force_float32"]
    if arguments.calibration:
        precisions += ["force_float16", "qint8_mixed_float16"]
    with tempfile.TemporaryDirectory() as folder:
        results = compare(arguments.graph, photos, Path(folder), precisions, arguments.calibration)
    cases = list(next(iter(results.values())))
    rows = [
        [name, *(f"{own[c]['equal']:.4%} ({own[c]['different_pixels']}, {own[c]['largest_gap']:.0e})" for c in cases)]
        for name, own in results.items()
    ]
    print(
        table(["photo", *(f"{case}: equal (pixels not, largest gap)" for case in cases)], rows, "<" + ">" * len(cases))
    )
    if arguments.json:
        plain = {"machine": codec.to_plain(machine.describe()), "results": results}
        files.write_text(arguments.json, codec.json_text(plain))
    exact = [own[case] for own in results.values() for case in cases if case.endswith("fp32")]
    sound = all(each["equal"] >= LEAST_EQUAL and each["largest_gap"] <= LARGEST_TIE for each in exact)
    print(f"{len(results)} photos, float32: {'as' if sound else 'NOT as'} the untouched graph in TensorFlow")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
