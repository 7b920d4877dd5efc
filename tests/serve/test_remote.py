"""The protocol over gRPC: Triton's bytes on the wire, the pipeline's answers, and codes for what is wrong."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import malformed_requests
import numpy as np
import pytest
import serve_client

from densecast.pipeline import Pipeline
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import serving
from densecast.verbs.serve.remote_messages import messages

grpc = pytest.importorskip("grpc", reason="needs the [grpc] extra")

Call = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def call(artifacts: Path) -> Iterator[Call]:
    """`call("ModelInfer", ModelInferRequest fields)`: what the server answers."""
    port = free_port()
    options = ServeOptions(port=0, grpc_port=port, access_log=False, max_body_mib=1)
    with serving([artifacts / "built"], options), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

        def asked(name: str, request: Any = None, **more: Any) -> Any:
            made = request if request is not None else messages()[f"{name}Request"]()
            rpc = channel.unary_unary(
                f"/inference.GRPCInferenceService/{name}",
                request_serializer=lambda each: each.SerializeToString(),
                response_deserializer=messages()[f"{name}Response"].FromString,
            )
            return rpc(made, timeout=20, **more)

        yield asked


def picture_request(*files: bytes, outputs: tuple[str, ...] = ()) -> Any:
    request = messages()["ModelInferRequest"](model_name="tiny", id="mine")
    request.inputs.add(name="image", datatype="BYTES", shape=[len(files)])
    request.raw_input_contents.append(serve_client.elements(*files))
    for name in outputs:
        request.outputs.add(name=name)
    return request


def test_messages_are_tritons_on_the_wire() -> None:
    """Recorded from the messages of `tritonclient` 2.73."""
    request = messages()["ModelInferRequest"](model_name="a")
    request.parameters["timeout"].int64_param = 5
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    recorded = b'\n\x01a"\r\n\x07timeout\x12\x02\x10\x05*\r\n\x01x\x12\x04FP32\x1a\x02\x01\x02'
    assert request.SerializeToString() == recorded


def test_what_is_served_is_told(call: Call) -> None:
    assert call("ServerLive").live and call("ServerReady").ready
    assert call("ModelReady", messages()["ModelReadyRequest"](name="tiny")).ready
    assert "binary_tensor_data" in call("ServerMetadata").extensions
    told = call("ModelMetadata", messages()["ModelMetadataRequest"](name="tiny"))
    assert (told.outputs[0].name, told.outputs[0].datatype, list(told.outputs[0].shape)) == (
        "class_id",
        "UINT8",
        [-1, -1, -1],
    )


def test_answers_are_the_pipelines(call: Call, artifacts: Path) -> None:
    file = malformed_requests.jpeg()
    found = call("ModelInfer", picture_request(file, outputs=("class_id", "probability")))
    with Pipeline.open(artifacts / "built", threads=1) as pipeline:
        want = pipeline(file, scores=True)
    assert (found.model_name, found.model_version) == ("tiny", "1")
    assert found.id == "mine" and [each.name for each in found.outputs] == ["class_id", "probability"]
    assert found.raw_output_contents[0] == want.class_id.tobytes()
    assert found.raw_output_contents[1] == want.probability.astype("<f4").tobytes()


def test_typed_contents_are_the_same_tensor_as_raw_ones(call: Call) -> None:
    feed = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    raw = messages()["ModelInferRequest"](model_name="tiny")
    raw.inputs.add(name="image", datatype="FP32", shape=feed.shape)
    typed = messages()["ModelInferRequest"]()
    typed.CopyFrom(raw)
    raw.raw_input_contents.append(feed.tobytes())
    typed.inputs[0].contents.fp32_contents.extend(feed.ravel().tolist())
    assert call("ModelInfer", raw).raw_output_contents == call("ModelInfer", typed).raw_output_contents


def test_what_is_wrong_has_a_code_and_a_line(call: Call) -> None:
    file = malformed_requests.jpeg()
    unknown = picture_request(file)
    unknown.model_name = "tinny"
    shape = picture_request(file)
    shape.inputs[0].shape[0] = -1
    twice = picture_request(file)
    twice.inputs.add().CopyFrom(twice.inputs[0])
    late = picture_request(file)
    late.parameters["priority"].int64_param = 1
    cases = [
        (unknown, grpc.StatusCode.NOT_FOUND, "Did you mean 'tiny'"),
        (shape, grpc.StatusCode.INVALID_ARGUMENT, "inputs[image].shape"),
        (twice, grpc.StatusCode.INVALID_ARGUMENT, "raw_input_contents"),
        (late, grpc.StatusCode.INVALID_ARGUMENT, "priority"),
        (picture_request(b"no picture"), grpc.StatusCode.INVALID_ARGUMENT, "not an image"),
        (picture_request(file, outputs=("nothing",)), grpc.StatusCode.INVALID_ARGUMENT, "nothing"),
        (messages()["ModelInferRequest"](model_name="tiny"), grpc.StatusCode.INVALID_ARGUMENT, "inputs"),
        (picture_request(bytes(2 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ]
    for request, code, words in cases:
        with pytest.raises(grpc.RpcError) as caught:
            call("ModelInfer", request)
        assert caught.value.code() is code and words in caught.value.details()
