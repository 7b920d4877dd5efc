"""A published TensorFlow graph on a folder of photos: `python 03_tensorflow_graph.py GRAPH PHOTOS OUT`."""

import sys
from pathlib import Path

from densecast import BuildOptions, Pipeline, export_zoo
from densecast.verbs.builder import build
from densecast.verbs.infer import infer_files

graph, photos, out = (Path(argument) for argument in sys.argv[1:4])
exported = export_zoo("deeplabv3_mnv2_voc", out / "float", given=graph)
built = build(exported, out / "fp16", BuildOptions(precision="force_float16"))
with Pipeline.open(built) as pipeline:
    for photo, labels in infer_files(pipeline, [photos], out / "labels", colour=True):
        print(photo.name, "->", labels)
