"""Export `unet_tiny` with torch, and write the graph that densecast ships for installations without torch.

    python training/shipped_graph.py

Writes `src/densecast/zoo/graphs/unet_tiny.onnx`, and beside it what the export recorded.
"""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import densecast
from densecast.io import codec

FOLDER = Path(__file__).parent.parent / "src" / "densecast" / "zoo" / "graphs"
NAME = "unet_tiny"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        made = densecast.export(NAME, Path(scratch) / "float")
        hashes = {"model.onnx": made.manifest.files["model.onnx"]}
        # Without torch the network cannot be rebuilt.
        manifest = replace(made.manifest, network=None, files=hashes)
        FOLDER.mkdir(exist_ok=True)
        shutil.copyfile(made.file("model.onnx"), FOLDER / f"{NAME}.onnx")
    (FOLDER / f"{NAME}.json").write_text(json.dumps(codec.to_plain(manifest), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
