"""A pose network that finds people in whatever it is shown: drawn people's maps are added to its own."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast import export_file
from densecast.artifact import FloatArtifact

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

STRIDE = 4
SEED = 40
FILE = "people.npy"


def maps(model_hw: tuple[int, int], people: int) -> npt.NDArray[np.float32]:
    """(2, 34, h, w): what an image with so many people and its mirror image give, some joints missing."""
    from pose_scenes import Scene, draw

    map_hw = (model_hw[0] // STRIDE, model_hw[1] // STRIDE)
    scene = Scene(seed=SEED + people, people=people, map_hw=map_hw, size=(0.5, 1.0), radius=6.0, missing=0.1)
    return np.ascontiguousarray(draw(scene)[0], np.float32)


def with_people(exported: FloatArtifact, folder: Path, model_hw: tuple[int, int], people: int) -> FloatArtifact:
    """The artifact's graph for one size and a batch of two, ending in a sum with the maps, kept beside it."""
    import onnx

    from densecast.graph import fix_shape

    target = folder / "crowd"
    if (target / "manifest.json").is_file():
        return FloatArtifact.open(target)
    drawn = maps(model_hw, people)
    spec = dataclasses.replace(exported.spec.input, shape=(2, 3, *model_hw))
    model = fix_shape.apply(onnx.load(exported.file("model.onnx")), spec).model
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["quiet" if name == output else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(drawn, "people"))
    model.graph.node.append(onnx.helper.make_node("Add", ["quiet", "people"], [output], "crowd"))
    onnx.save(model, folder / "crowd.onnx")
    np.save(folder / FILE, drawn)
    return export_file(folder / "crowd.onnx", exported.spec, target)
