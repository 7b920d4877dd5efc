"""A published TensorFlow graph on a folder of photos: `python 03_tensorflow_graph.py GRAPH PHOTOS OUT`."""

import sys
from pathlib import Path

import densecast

graph, photos, out = (Path(argument) for argument in sys.argv[1:4])
exported = densecast.export("deeplabv3_mnv2_voc", out / "float", checkpoint=graph)
built = densecast.build(exported, out / "fp16", densecast.BuildOptions(precision="force_float16"))
for each in densecast.infer(built, [photos], out / "labels", colour=True).results:
    print(each.image.name, "->", each.file)
