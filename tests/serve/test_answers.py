"""Answers over HTTP are the pipeline's, bit for bit, in every form that can be asked for."""

from __future__ import annotations

import base64
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serve_client
import tiny_graphs
from made_images import picture, write_jpeg
from onnx.reference import ReferenceEvaluator
from PIL import Image

from densecast.pipeline import Pipeline

JPEG = {"Content-Type": "image/jpeg"}
SIZES_HW = ((48, 64), (64, 96), (33, 120), (48, 64))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("pictures")
    return [write_jpeg(folder / f"{n}.jpg", size, n).read_bytes() for n, size in enumerate(SIZES_HW)]


@pytest.fixture(scope="module")
def expected(artifacts: Path, files: list[bytes]) -> list[Any]:
    with Pipeline.open(artifacts / "built", threads=1) as pipeline:
        return [pipeline(file, scores=True) for file in files]


def infer(server: str, request: tuple[bytes, dict[str, str]], model: str = "tiny") -> dict[str, Any]:
    return serve_client.tensors_of(serve_client.ask(server, "POST", f"/v2/models/{model}/infer", *request))


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("binary", [True, False])
def test_the_class_map_of_an_encoded_picture(
    server: str, files: list[bytes], expected: list[Any], binary: bool
) -> None:
    for file, want in zip(files, expected, strict=True):
        found = infer(server, serve_client.pictures(file, outputs=["class_id", "probability"], binary=binary))
        assert np.array_equal(found["class_id"], want.class_id[None])
        assert np.array_equal(found["probability"], want.probability[None])


def test_unasked_it_is_the_class_map_alone(server: str, files: list[bytes], expected: list[Any]) -> None:
    found = infer(server, serve_client.pictures(files[0]))
    assert list(found) == ["class_id"] and np.array_equal(found["class_id"][0], expected[0].class_id)
    body, headers = serve_client.pictures(files[0], parameters={"binary_data_output": True})
    reply = serve_client.ask(server, "POST", "/v2/models/tiny/versions/1/infer", body, headers)
    assert serve_client.LENGTH.lower() in reply.headers
    assert np.array_equal(serve_client.tensors_of(reply)["class_id"][0], expected[0].class_id)


def test_several_pictures_of_one_size_are_one_tensor(server: str, files: list[bytes], expected: list[Any]) -> None:
    found = infer(server, serve_client.pictures(files[0], files[3], outputs=["class_id"]))
    assert np.array_equal(found["class_id"], np.stack([expected[0].class_id, expected[3].class_id]))


def test_pictures_of_several_sizes_are_pngs_and_no_tensor(server: str, files: list[bytes], expected: list[Any]) -> None:
    found = infer(server, serve_client.pictures(*files, outputs=["class_id_png", "class_id_rle", "overlay_png"]))
    for png, want in zip(found["class_id_png"], expected, strict=True):
        assert np.array_equal(decoded(png), want.class_id)
    assert [decoded(png).shape for png in found["overlay_png"]] == [(*size, 3) for size in SIZES_HW]
    reply = serve_client.ask(server, "POST", "/v2/models/tiny/infer", *serve_client.pictures(*files))
    assert reply.status == 400 and reply.document["field"] == "outputs[class_id]"


@pytest.mark.coco
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_runs_are_what_pycocotools_decodes(server: str, files: list[bytes], expected: list[Any]) -> None:
    from pycocotools import mask

    for file, want in zip(files, expected, strict=True):
        (runs,) = infer(server, serve_client.pictures(file, outputs=["class_id_rle"]))["class_id_rle"]
        found = json.loads(runs)
        assert [each["class_id"] for each in found] == np.unique(want.class_id).tolist()
        for each in found:
            assert np.array_equal(mask.decode(each["rle"]), want.class_id == each["class_id"])


def test_pixels_are_predicted_as_a_file_of_them_would_be(server: str, artifacts: Path) -> None:
    pixels = np.stack([picture((40, 56), seed) for seed in (1, 2, 3)])
    found = infer(server, serve_client.v2([("image", "UINT8", pixels.shape, pixels.tobytes())], ["class_id"]))
    with Pipeline.open(artifacts / "built", threads=1) as pipeline:
        assert np.array_equal(found["class_id"], np.stack([pipeline(each).class_id for each in pixels]))


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_networks_own_input_gives_its_own_output(server: str, count: int) -> None:
    feed = np.random.default_rng(count).random((count, 3, 16, 24), np.float32)
    found = infer(server, serve_client.v2([("image", "FP32", feed.shape, feed.tobytes())], ["logits"]))
    wanted = ReferenceEvaluator(tiny_graphs.segmentation()).run(None, {"image": feed})[0]
    # 27 products summed in another order.
    np.testing.assert_allclose(found["logits"], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_json_alone_carries_everything(server: str, files: list[bytes], expected: list[Any]) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"content_type": "base64"},
             "data": [[base64.b64encode(files[0]).decode()]]}  # fmt: skip
    wanted = {"name": "class_id_png", "parameters": {"content_type": "base64"}}
    body = json.dumps({"id": "mine", "inputs": [image], "outputs": [wanted, {"name": "class_id"}]}).encode()
    document = serve_client.ask(server, "POST", "/v2/models/tiny/infer", body).document
    assert document["id"] == "mine" and document["model_name"] == "tiny" and document["model_version"] == "1"
    png, flat = (each["data"] for each in document["outputs"])
    assert np.array_equal(decoded(base64.b64decode(png[0])), expected[0].class_id)
    assert flat == expected[0].class_id.ravel().tolist()


def test_people_are_the_pipelines(server: str, people: Path, files: list[bytes]) -> None:
    names = ["xy_px", "score", "person_score", "count", "people", "people_json"]
    with Pipeline.open(people / "built", threads=1) as pipeline:
        wanted = [pipeline(file) for file in files]
    found = infer(server, serve_client.pictures(*files, outputs=names), "people")
    assert found["count"].tolist() == [len(each) for each in wanted] and found["count"].sum() > 0
    for name in ("xy_px", "score", "person_score"):
        assert np.array_equal(found[name], np.concatenate([getattr(each, name) for each in wanted]))
    assert np.array_equal(found["people"], np.concatenate([found["xy_px"], found["score"][..., None]], axis=2))
    listed = [person for text in found["people_json"] for person in json.loads(text)]
    keypoints = np.array([person["keypoints"] for person in listed], np.float32)
    assert np.array_equal(keypoints.reshape(found["people"].shape), found["people"])


def test_a_plain_request_gets_json_with_the_mask(server: str, files: list[bytes], expected: list[Any]) -> None:
    reply = serve_client.ask(server, "POST", "/predict/tiny?scores=1", files[1], JPEG)
    told = reply.document
    assert told["image"] == {"width": 96, "height": 64} and told["class_map"] == {"0": "background", "1": "car"}
    assert np.array_equal(decoded(base64.b64decode(told["segmentation_mask"])), expected[1].class_id)
    assert told["present_class_ids"] == np.unique(expected[1].class_id).tolist()
    confidence = decoded(base64.b64decode(told["confidence_mask"]))
    assert np.array_equal(confidence, np.rint(expected[1].probability * 255).astype(np.uint8))
    assert told["id"] == reply.headers["x-request-id"] and set(told["stages_ms"]) >= {"queue", "decode", "infer"}


def test_runs_of_a_plain_request_have_boxes_and_confidences(
    server: str, files: list[bytes], expected: list[Any]
) -> None:
    told = serve_client.ask(server, "POST", "/predict/tiny?response_mask_format=rle", files[1], JPEG).document
    assert "segmentation_mask" not in told and "confidence_mask" not in told
    for each in told["predictions"]:
        mask = expected[1].class_id == each["class_id"]
        y, x = np.nonzero(mask)
        box = (each["x"] - each["width"] / 2, each["y"] - each["height"] / 2, each["width"], each["height"])
        assert box == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
        assert np.isclose(each["confidence"], expected[1].probability[mask].mean(dtype=np.float64), atol=1e-5)


def test_a_plain_request_gets_a_png(server: str, files: list[bytes], expected: list[Any]) -> None:
    reply = serve_client.ask(server, "PUT", "/predict/tiny", files[2], JPEG | {"Accept": "image/png"})
    assert reply.headers["content-type"] == "image/png" and np.array_equal(decoded(reply.body), expected[2].class_id)
    drawn = serve_client.ask(server, "POST", "/predict/people?overlay=1", files[2], JPEG)
    assert drawn.headers["content-type"] == "image/png" and decoded(drawn.body).shape == (33, 120, 3)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json;q=0, */*", "image/png"),
        ("*/*, image/png;q=0", "application/json"),
        ("image/png;q=0.2, application/json;q=0.3", "application/json"),
        ("image/*;q=0, */*;q=0.1", "application/json"),
        ("image/png;q=0, image/*", ""),
        ("image/png, application/json", "image/png"),
        ("text/html, */*;q=0.8, image/png;q=0.9", "image/png"),
        ("application/json;q=0", ""),
    ],
)
def test_what_a_client_does_not_accept_is_not_sent(server: str, files: list[bytes], accept: str, kind: str) -> None:
    reply = serve_client.ask(server, "POST", "/predict/tiny", files[0], {"Accept": accept})
    assert (reply.status, reply.headers["content-type"]) == ((200, kind) if kind else (406, "application/json"))


def test_a_form_with_a_file_is_a_picture(server: str, files: list[bytes], expected: list[Any]) -> None:
    form = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        + files[0] + b"\r\n--edge--\r\n"
    )  # fmt: skip
    headers = {"Content-Type": "multipart/form-data; boundary=edge", "Accept": "image/png"}
    reply = serve_client.ask(server, "POST", "/predict/tiny", form, headers)
    assert np.array_equal(decoded(reply.body), expected[0].class_id)
    # As `curl -F file=<a.jpg` sends it, without the name that makes a part a file.
    reply = serve_client.ask(server, "POST", "/predict/tiny", form.replace(b'; filename="a.jpg"', b""), headers)
    assert reply.status == 400 and "curl -F file=@photo.jpg" in reply.document["error"]
    reply = serve_client.ask(server, "POST", "/predict/tiny", b"{}", {"Content-Type": "application/json"})
    assert reply.status == 415 and "/v2/models/NAME/infer" in reply.document["error"]


def test_answers_do_not_depend_on_who_else_asks(server: str, files: list[bytes], expected: list[Any]) -> None:
    wrong: list[str] = []

    def client(number: int) -> None:
        for turn in range(8):
            place = (number + turn) % len(files)
            reply = serve_client.ask(server, "POST", "/v2/models/tiny/infer", *serve_client.pictures(files[place]))
            if reply.status == 503:
                continue
            if not np.array_equal(serve_client.tensors_of(reply)["class_id"][0], expected[place].class_id):
                wrong.append(f"{number}.{turn}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_served_is_told(server: str) -> None:
    told = serve_client.ask(server, "GET", "/v2/models/people").document
    assert told["versions"] == ["2"] and told["platform"] == "densecast_onnxruntime"
    assert {"name": "people", "datatype": "FP32", "shape": [-1, 17, 3]} in told["outputs"]
    index = serve_client.ask(server, "POST", "/v2/repository/index", b"{}").document
    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        ("tiny", "1", "READY"),
        ("people", "2", "READY"),
    ]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/people/versions/2/ready"):
        assert serve_client.ask(server, "GET", path).status == 200
    assert "binary_tensor_data" in serve_client.ask(server, "GET", "/v2").document["extensions"]


def test_metrics_count_what_was_answered(server: str, files: list[bytes]) -> None:
    def images() -> float:
        text = serve_client.ask(server, "GET", "/metrics").body.decode()
        (line,) = (each for each in text.splitlines() if each.startswith('densecast_images_total{model="tiny"}'))
        return float(line.split()[1])

    serve_client.ask(server, "POST", "/predict/tiny", files[0], JPEG)
    before = images()
    infer(server, serve_client.pictures(files[0], files[3]))
    assert images() == before + 2
