"""Servers as one writes them in an afternoon, of FastAPI or LitServe around OpenVINO; run by a Python that has them.

    python serve_peers.py fastapi|litserve MODEL.xml '{"size_hw": […], "mean": […], "std": […]}' PORT

Pillow decodes, OpenCV resizes, numpy normalises; the logits are enlarged to the picture, the largest wins, and class
indices are a PNG. Nothing of densecast is used: answers are near its own, and not the same.
"""

import io
import json
import sys
from typing import Any

import cv2
import litserve
import numpy as np
import openvino as ov
import uvicorn
from fastapi import FastAPI, Response, UploadFile
from PIL import Image


class Model:
    """The compiled model with its preprocessing, for any number of threads."""

    def __init__(self, path: str, config: dict[str, Any]) -> None:
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": config["hint"]}
        core = ov.Core()
        model = core.read_model(path)
        model.reshape([1, 3, *config["size_hw"]])
        self.compiled = core.compile_model(model, "CPU", settings)
        self.size_hw, self.divisor = config["size_hw"], config["divisor"]
        self.mean, self.std = (np.array(config[name], np.float32) for name in ("mean", "std"))

    def __call__(self, data: bytes) -> bytes:
        """JPEG -> PNG of class indices."""
        image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        height, width = self.size_hw
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        scaled = (resized / self.divisor - self.mean) / self.std
        logits = next(iter(self.compiled.create_infer_request().infer([scaled.transpose(2, 0, 1)[None]]).values()))[0]
        large = cv2.resize(logits.transpose(1, 2, 0), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        out = io.BytesIO()
        Image.fromarray(large.argmax(-1).astype(np.uint8)).save(out, "PNG")
        return out.getvalue()


def with_fastapi(model: Model, port: int) -> None:
    """A handler that is not `async`, which FastAPI runs in its thread pool."""
    app = FastAPI()

    @app.post("/predict")
    def predict(file: UploadFile) -> Response:
        return Response(model(file.file.read()), media_type="image/png")

    uvicorn.run(app, port=port, log_level="error")


class Api(litserve.LitAPI):
    """Bytes of a picture in, a PNG out; at module level, for workers are spawned."""

    model_path, config = "", dict[str, Any]()

    def setup(self, device: str) -> None:
        """Open the model, in each worker."""
        self.model = Model(self.model_path, self.config)

    def decode_request(self, request: UploadFile) -> bytes:
        """The file's bytes."""
        data: bytes = request.file.read()
        return data

    def predict(self, data: bytes) -> bytes:
        """The PNG."""
        return self.model(data)

    def encode_response(self, output: bytes) -> Response:
        """The PNG as an answer."""
        return Response(output, media_type="image/png")


def with_litserve(path: str, config: dict[str, Any], port: int) -> None:
    """Two workers, each with a model of its own."""
    api = Api()
    api.model_path, api.config = path, config
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2, timeout=60)
    server.run(port=port, host="127.0.0.1", log_level="error", generate_client_file=False)


if __name__ == "__main__":
    kind, model_file, text, number = sys.argv[1:]
    if kind == "fastapi":
        with_fastapi(Model(model_file, json.loads(text)), int(number))
    else:
        with_litserve(model_file, json.loads(text), int(number))
