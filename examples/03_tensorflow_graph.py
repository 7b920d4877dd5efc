"""A published TensorFlow graph on a folder of photos: `python 03_tensorflow_graph.py GRAPH PHOTOS OUT`."""

import sys
from pathlib import Path

from densecast import BuildOptions, build, export_zoo, infer

graph, photos, out = (Path(argument) for argument in sys.argv[1:4])
exported = export_zoo("deeplabv3_mnv2_voc", out / "float", given=graph)
built = build(exported, out / "fp16", BuildOptions(precision="force_float16"))
for each in infer(built, [photos], out / "labels", colour=True).results:
    print(each.image.name, "->", each.file)
