"""Asks a server by Triton's own clients, in every way that they know, and keeps the answers.

Run in .venv-tritonclient: python triton_client.py HTTP_ADDRESS GRPC_ADDRESS FEEDS.npz PICTURE ANSWERS.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http


def by_http(address, feeds, picture):
    """Class indices, PNGs and the network's own outputs over HTTP: in binary and JSON, compressed and not."""
    client = tritonclient.http.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny")
    assert client.get_server_metadata()["name"] == "densecast"
    assert [each["name"] for each in client.get_model_repository_index()] == ["tiny"]
    found = {}
    for is_binary in (True, False):
        tensor = tritonclient.http.InferInput("image", list(feeds.shape), "FP32")
        tensor.set_data_from_numpy(feeds, binary_data=is_binary)
        wanted = [tritonclient.http.InferRequestedOutput("logits", binary_data=is_binary)]
        answer = client.infer("tiny", [tensor], outputs=wanted, request_id="mine")
        assert answer.get_response()["id"] == "mine"
        found[f"logits_{is_binary}"] = answer.as_numpy("logits")
    file = tritonclient.http.InferInput("image", [1], "BYTES")
    file.set_data_from_numpy(np.array([picture], dtype=object))
    for packing in (None, "gzip", "deflate"):
        answer = client.infer("tiny", [file], model_version="1", request_compression_algorithm=packing,
                              response_compression_algorithm=packing, timeout=10_000_000)  # fmt: skip
        found[f"class_id_{packing}"] = answer.as_numpy("class_id")
    wanted = [tritonclient.http.InferRequestedOutput("class_id_png", binary_data=True)]
    found["png"] = client.infer("tiny", [file], outputs=wanted).as_numpy("class_id_png")[0]
    for name in ("nobody", "tiny"):
        try:
            client.infer(name, [file], outputs=[tritonclient.http.InferRequestedOutput("nothing")])
        except tritonclient.utils.InferenceServerException as error:
            found[f"error_{name}"] = str(error)
    return found


def by_grpc(address, feeds, picture):
    """The same over gRPC."""
    client = tritonclient.grpc.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny")
    assert client.get_model_metadata("tiny").outputs[0].name == "class_id"
    tensor = tritonclient.grpc.InferInput("image", list(feeds.shape), "FP32")
    tensor.set_data_from_numpy(feeds)
    wanted = [tritonclient.grpc.InferRequestedOutput("logits")]
    found = {"grpc_logits": client.infer("tiny", [tensor], outputs=wanted).as_numpy("logits")}
    file = tritonclient.grpc.InferInput("image", [1], "BYTES")
    file.set_data_from_numpy(np.array([picture], dtype=object))
    found["grpc_class_id"] = client.infer("tiny", [file], client_timeout=10).as_numpy("class_id")
    try:
        client.infer("nobody", [file])
    except tritonclient.utils.InferenceServerException as error:
        found["grpc_error"] = str(error)
    return found


if __name__ == "__main__":
    http, grpc, given, picture, out = sys.argv[1:]
    feeds, data = np.load(given)["image"], Path(picture).read_bytes()
    np.savez(out, **by_http(http, feeds, data), **by_grpc(grpc, feeds, data))
