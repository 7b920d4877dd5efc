"""Each part of a request is held to what the protocol says, and each part of an answer is written as it says."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadImageError, ParityError, UnknownNameError, UsageError
from densecast.spec.tensor import Array
from densecast.tasks.pose import Poses
from densecast.verbs.serve import infer_answer, infer_request, outputs, predict, refusals, tensors
from densecast.verbs.serve.infer_answer import Answer
from densecast.verbs.serve.infer_request import InferRequest, WantedOutput
from densecast.verbs.serve.refusals import Refused

IMAGE = {"name": "image", "datatype": "UINT8", "shape": [2], "data": [1, 2]}


def parsed(changed: dict[str, Any] | None = None, *, behind: bytes = b"", length: int | None = None) -> InferRequest:
    head = json.dumps({"inputs": [IMAGE], **(changed or {})}).encode()
    return infer_request.parse(head + behind, len(head) if behind and length is None else length)


def refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, str | None]:
    """Status and field of a refusal."""
    with pytest.raises(Refused) as error:
        call(*arguments, **named)
    return error.value.status, error.value.field


def test_a_request_is_read_as_it_is_written() -> None:
    found = parsed()
    assert (found.id, found.outputs, found.timeout_s, found.is_binary_output) == (None, None, None, False)
    assert list(found.inputs) == ["image"] and found.inputs["image"].tolist() == [1, 2]
    wanted = [
        {"name": "a"},
        {"name": "b", "parameters": {"binary_data": True}},
        {"name": "c", "parameters": {"content_type": "base64", "binary_data": False}},
    ]
    parameters = {"timeout": 1_500_000, "binary_data_output": True}
    found = parsed({"id": "x" * 1024, "outputs": wanted, "parameters": parameters})
    assert (found.id, found.timeout_s, found.is_binary_output) == ("x" * 1024, 1.5, True)
    assert found.outputs == (WantedOutput("a"), WantedOutput("b", is_binary=True), WantedOutput("c", is_base64=True))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"inputs": None}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {"image": 1}}, "inputs"),
        ({"inputs": [IMAGE] * 65}, "inputs"),
        ({"inputs": [IMAGE, IMAGE]}, "inputs[image]"),
        ({"inputs": [7]}, "inputs[0]"),
        ({"inputs": [{**IMAGE, "name": ""}]}, "inputs[0].name"),
        ({"inputs": [{**IMAGE, "name": "n" * 201}]}, "inputs[0].name"),
        ({"inputs": [{**IMAGE, "name": "a\x1f"}]}, "inputs[0].name"),
        ({"inputs": [{**IMAGE, "name": "a\x7f"}]}, "inputs[0].name"),
        ({"inputs": [IMAGE, {**IMAGE, "name": 3}]}, "inputs[1].name"),
        ({"inputs": [{**IMAGE, "datatype": "uint8"}]}, "inputs[image].datatype"),
        ({"inputs": [{**IMAGE, "datatype": 8}]}, "inputs[image].datatype"),
        ({"inputs": [{**IMAGE, "shape": [3]}]}, "inputs[image].data"),
        ({"inputs": [{**IMAGE, "data": None}]}, "inputs[image].data"),
        ({"inputs": [{**IMAGE, "parameters": []}]}, "inputs[image].parameters"),
        ({"inputs": [{**IMAGE, "parameters": {"binary_data": True}}]}, "inputs[image].parameters"),
        ({"inputs": [{**IMAGE, "parameters": {"content_type": "x"}}]}, "inputs[image].parameters.content_type"),
        ({"outputs": {}}, "outputs"),
        ({"outputs": [{"name": str(each)} for each in range(65)]}, "outputs"),
        ({"outputs": ["a"]}, "outputs[0]"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "outputs[a]"),
        ({"outputs": [{"name": "a"}, {}]}, "outputs[1].name"),
        ({"outputs": [{"name": "a", "parameters": {"binary_data": 1}}]}, "outputs[a].parameters.binary_data"),
        ({"outputs": [{"name": "a", "parameters": {"binary_data_size": 1}}]}, "outputs[a].parameters"),
        ({"outputs": [{"name": "a", "parameters": {"content_type": 1}}]}, "outputs[a].parameters.content_type"),
        ({"parameters": 3}, "parameters"),
        ({"parameters": {"sequence_id": 3}}, "parameters"),
        ({"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output"),
        ({"parameters": {"timeout": -1}}, "parameters.timeout"),
        ({"parameters": {"timeout": True}}, "parameters.timeout"),
        ({"parameters": {"timeout": 1.5}}, "parameters.timeout"),
        ({"parameters": {"timeout": 1 << 62}}, "parameters.timeout"),
        ({"id": 5}, "id"),
        ({"id": "x" * 1025}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"id": "\udfff"}, "id"),
    ],
)
def test_the_part_that_is_wrong_is_named(changed: dict[str, Any], field: str) -> None:
    assert refused(parsed, changed) == (400, field)


def test_ends_of_what_is_taken_are_taken() -> None:
    many = [{**IMAGE, "name": f"{each}{'n' * 198}"} for each in range(64)]
    assert len(parsed({"inputs": many}).inputs) == 64
    wanted = parsed({"outputs": [{"name": str(each)} for each in range(64)]}).outputs
    assert wanted is not None and len(wanted) == 64
    assert parsed({"outputs": []}).outputs is None and parsed({"parameters": {"timeout": 0}}).timeout_s is None
    assert parsed({"parameters": {"timeout": 1}}).timeout_s == 1e-6
    assert parsed({"parameters": {"timeout": (1 << 62) - 1}}).timeout_s == ((1 << 62) - 1) / 1e6
    assert parsed({"id": "\ud7ff\ue000"}).id == "\ud7ff\ue000" and parsed({"id": ""}).id == ""


def test_tensors_behind_the_json_lie_one_after_the_other() -> None:
    one = {"name": "a", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}}
    two = {"name": "b", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}}
    behind = struct.pack("<hhf", -2, 300, 1.5)
    found = parsed({"inputs": [one, IMAGE, two]}, behind=behind)
    assert found.inputs["a"].tolist() == [-2, 300] and found.inputs["b"].tolist() == [[1.5]]
    assert found.inputs["image"].tolist() == [1, 2]
    size = "inputs[b].parameters.binary_data_size"
    assert refused(parsed, {"inputs": [one, two]}, behind=behind + b"x") == (400, "body")
    assert refused(parsed, {"inputs": [one, two]}, behind=behind[:-1]) == (400, size)
    for wrong in (-1, True, "4", 3, 5):
        given = {**two, "parameters": {"binary_data_size": wrong}}
        assert refused(parsed, {"inputs": [one, given]}, behind=behind) == (400, size)
    assert refused(parsed, {"inputs": [one, {**two, "data": [1]}]}, behind=behind) == (400, size)
    empty = {"name": "a", "datatype": "FP32", "shape": [0], "parameters": {"binary_data_size": 0}}
    assert parsed({"inputs": [empty]}).inputs["a"].shape == (0,)


@pytest.mark.parametrize("length", [0, -1, 10_000])
def test_the_length_of_the_json_lies_within_the_body(length: int) -> None:
    assert refused(parsed, length=length) == (400, "Inference-Header-Content-Length")
    body = json.dumps({"inputs": [IMAGE]}).encode()
    assert infer_request.parse(body, len(body)).inputs
    assert refused(infer_request.parse, body, len(body) + 1) == (400, "Inference-Header-Content-Length")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"3", b"{", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1, "a": 2}', b"\xff{}", b"[" * 100_000]
)
def test_json_is_one_object_as_the_standard_has_it(text: bytes) -> None:
    assert refused(infer_request.loads, text) == (400, "body")


@pytest.mark.parametrize(
    ("shape", "is_right"),
    [
        ([0], True), ([1] * 8, True), ([1] * 9, False), ([(1 << 31) - 1], True), ([1 << 31], False), ([-1], False),
        ([True], False), ([1.0], False), ([], False), (None, False), ("2", False), ({"0": 1}, False),
    ],
)  # fmt: skip
def test_a_shape_is_a_few_whole_numbers(shape: Any, is_right: bool) -> None:
    if is_right:
        assert tensors.shape_of(shape, "x") == tuple(shape)
    else:
        assert refused(tensors.shape_of, shape, "x") == (400, "inputs[x].shape")


@pytest.mark.parametrize("datatype", list(tensors.DTYPES))
def test_numbers_in_bytes_are_little_endian_and_as_many_as_the_shape_has(datatype: str) -> None:
    values = np.array([[0, 1], [1, 0], [1, 1]], tensors.DTYPES[datatype])
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    found = tensors.from_binary(memoryview(data), datatype, (3, 2), "x")
    np.testing.assert_array_equal(found, values)
    assert tensors.to_binary(values) == tensors.to_binary(values.astype(values.dtype.newbyteorder(">"))) == data
    assert tensors.datatype_of(tensors.DTYPES[datatype]) == datatype
    for wrong in (data[:-1], data + b"\0", b""):
        field = "inputs[x].parameters.binary_data_size"
        assert refused(tensors.from_binary, memoryview(wrong), datatype, (3, 2), "x") == (400, field)


def test_texts_lie_behind_their_length_in_four_bytes() -> None:
    data = b"\x03\0\0\0abc\0\0\0\0\x01\0\0\0z"
    found = tensors.from_binary(memoryview(data), "BYTES", (3, 1), "x")
    assert found.shape == (3, 1) and tensors.elements(found) == [b"abc", b"", b"z"]
    assert tensors.to_binary(found) == data and tensors.to_base64(found) == ["YWJj", "", "eg=="]
    assert tensors.of_bytes([b"a", b"b"]).shape == (2,)
    for wrong, shape in (
        (data[:-1], (3,)),
        (data + b"\0", (3,)),
        (data, (2,)),
        (data, (4,)),
        (data[:-5] + b"zzz", (3,)),
    ):
        field = "inputs[x].parameters.binary_data_size"
        assert refused(tensors.from_binary, memoryview(wrong), "BYTES", shape, "x") == (400, field)


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "values"),
    [
        ([1, 2, 3, 4], "UINT8", (2, 2), [[1, 2], [3, 4]]),
        ([[1, 2], [3, 4]], "UINT8", (2, 2), [[1, 2], [3, 4]]),
        ([[[1], [2]]], "INT64", (1, 2, 1), [[[1], [2]]]),
        ([1, 2.5], "FP32", (2,), [1.0, 2.5]),
        ([True, False], "BOOL", (2,), [True, False]),
        ([2**63], "UINT64", (1,), [2**63]),
        ([-(2**63)], "INT64", (1,), [-(2**63)]),
        ([], "FP32", (0,), []),
        ([[1, 2]], "UINT8", (2,), None),
        ([[1], [2, 3]], "UINT8", (2, 2), None),
        ([[1, 2], 3], "UINT8", (2, 2), None),
        ([1, 2, 3], "UINT8", (2, 2), None),
        ([1.0], "UINT8", (1,), None),
        ([True], "UINT8", (1,), None),
        ([1], "BOOL", (1,), None),
        (["1"], "FP32", (1,), None),
        ([None], "FP32", (1,), None),
        ([2**64], "UINT64", (1,), None),
        ([-1], "UINT64", (1,), None),
        ([2**63], "INT64", (1,), None),
        ([10**400], "FP64", (1,), None),
        ("12", "UINT8", (2,), None),
    ],
)
def test_numbers_of_json_are_flat_or_nested_as_the_shape_is(
    data: Any, datatype: str, shape: tuple[int, ...], values: Any
) -> None:
    if values is None:
        assert refused(tensors.from_json, data, datatype, shape, "x", is_base64=False) == (400, "inputs[x].data")
        return
    found = tensors.from_json(data, datatype, shape, "x", is_base64=False)
    assert found.dtype == tensors.DTYPES[datatype] and found.shape == shape and found.tolist() == values


def test_texts_of_json_are_utf_8_or_base64() -> None:
    def read(data: list[Any], is_base64: bool) -> list[bytes]:
        return tensors.elements(tensors.from_json(data, "BYTES", (len(data),), "x", is_base64=is_base64))

    assert read(["ä", ""], False) == ["ä".encode(), b""] and read(["YWJj"], True) == [b"abc"]
    for wrong, is_base64 in (
        ([1], False),
        (["\ud800"], False),
        (["a"], True),
        (["Y W J j"], True),
        (["YWJj\n="], True),
    ):
        assert refused(read, wrong, is_base64) == (400, "inputs[x].data")


def test_what_json_cannot_carry_is_refused() -> None:
    assert tensors.to_json(np.arange(4, dtype=np.uint8).reshape(2, 2), "y") == [0, 1, 2, 3]
    for value in (np.nan, np.inf, -np.inf):
        assert refused(tensors.to_json, np.array([0, value], np.float32), "y") == (400, "outputs[y]")
    assert refused(tensors.to_json, tensors.of_bytes([b"a"]), "y") == (400, "outputs[y]")
    most = np.broadcast_to(np.uint8(1), (1 << 22,))
    assert len(tensors.to_json(most, "y")) == 1 << 22
    assert refused(tensors.to_json, np.broadcast_to(np.uint8(1), ((1 << 22) + 1,)), "y") == (400, "outputs[y]")


def test_an_answer_holds_what_was_asked_for_in_that_order_and_form() -> None:
    given: dict[str, Array] = {
        "a": np.array([[1, 2]], np.int64),
        "b": np.array([0.5], np.float32),
        "c": tensors.of_bytes([b"abc"]),
    }

    def answered(*wanted: WantedOutput, **more: Any) -> tuple[Any, bytes]:
        answer = infer_answer.encode(InferRequest(None, {}, wanted or None, **more), "m", "3", given)
        length = int(dict(answer.headers).get(infer_answer.HEADER_LENGTH, len(answer.body)))
        kind = "application/octet-stream" if answer.headers else "application/json"
        assert answer.media_type == kind
        return json.loads(answer.body[:length]), answer.body[length:]

    told, behind = answered(WantedOutput("b", is_binary=True), WantedOutput("a"), WantedOutput("c", is_base64=True))
    assert behind == struct.pack("<f", 0.5)
    assert told == {
        "model_name": "m",
        "model_version": "3",
        "outputs": [
            {"name": "b", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
            {"name": "a", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]},
            {
                "name": "c",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"content_type": "base64"},
                "data": ["YWJj"],
            },
        ],
    }
    told, behind = answered(is_binary_output=True)
    assert [each["name"] for each in told["outputs"]] == ["a", "b", "c"]
    assert behind == struct.pack("<qqf", 1, 2, 0.5) + b"\x03\0\0\0abc"
    # Base64 is what was asked for of this one; of numbers it means nothing.
    wanted = [WantedOutput("c", is_base64=True), WantedOutput("a", is_base64=True)]
    told, behind = answered(*wanted, is_binary_output=True)
    assert behind == b"" and "data" in told["outputs"][0] and told["outputs"][1]["data"] == [1, 2]
    one = infer_answer.encode(InferRequest("ä", {}, (WantedOutput("a"),)), "m", "3", given)
    assert json.loads(one.body)["id"] == "ä"
    assert "id" not in told


def test_stages_are_told_as_browsers_read_them() -> None:
    answer = Answer(b"", "x", (("A", "b"),))
    assert infer_answer.timed(answer, {}) == answer
    timed = infer_answer.timed(answer, {"decode": 1.23456, "queue": 0})
    assert timed == replace(answer, headers=(("A", "b"), ("Server-Timing", "decode;dur=1.235, queue;dur=0.000")))


@pytest.mark.parametrize(
    ("error", "status", "field"),
    [
        (Refused(418, "x", field="f"), 418, "f"),
        (UnknownNameError("x"), 404, None),
        (BadImageError("x"), 400, "image"),
        (UsageError("x", field="f"), 400, "f"),
        (MemoryError(), 503, None),
        (ParityError("x"), 500, None),
    ],
)
def test_errors_stand_for_what_a_client_is_answered(error: Exception, status: int, field: str | None) -> None:
    found = refusals.of(error)
    assert found is not None and (found.status, found.field) == (status, field)
    assert refusals.of(KeyError("x")) is None


def test_who_comes_again_is_told_when_and_messages_end() -> None:
    assert [refusals.busy("x", after_s).headers["Retry-After"] for after_s in (0, 0.2, 1.4, 7.6)] == [
        "1",
        "1",
        "1",
        "8",
    ]
    assert refusals.busy("x").status == 503 and refusals.busy("x").headers == {"Retry-After": "1"}
    assert refusals.bad("x", "f").status == 400 and refusals.bad("x").headers == {}
    assert len(Refused(400, "m" * 3000).message) == 2000


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([("size", "1")], "size"),
        ([("overlay", "1"), ("overlay", "1")], "overlay"),
        ([("overlay", "yes")], "overlay"),
        ([("scores", "")], "scores"),
        ([("response_mask_format", "PNG")], "response_mask_format"),
        ([("timeout_ms", "0")], "timeout_ms"),
        ([("timeout_ms", "-1")], "timeout_ms"),
        ([("timeout_ms", "nan")], "timeout_ms"),
        ([("timeout_ms", "x")], "timeout_ms"),
        ([("timeout_ms", "86400001")], "timeout_ms"),
        ([("overlay", "1"), ("scores", "1")], "scores"),
        ([("overlay", "1"), ("response_mask_format", "rle")], "response_mask_format"),
    ],
)
def test_the_wish_that_is_wrong_is_named(query: list[tuple[str, str]], field: str) -> None:
    assert refused(predict.wish, query, "") == (400, field)


def test_wishes_are_what_they_say() -> None:
    assert predict.wish([], "") == predict.Wish("application/json", False, False, "png", None)
    query = [("overlay", "TRUE"), ("scores", "1"), ("response_mask_format", "rle"), ("timeout_ms", "86400000")]
    found = predict.wish(query, "application/json")
    assert found == predict.Wish("application/json", True, True, "rle", 86_400.0)
    assert predict.wish([("overlay", "false"), ("scores", "0"), ("timeout_ms", "0.5")], "*/*").timeout_s == 5e-4
    assert predict.wish([("overlay", "1")], "").media_type == "image/png"


PNG, JSON = "image/png", "application/json"


@pytest.mark.parametrize(
    ("accept", "plain", "overlay"),
    [
        ("", JSON, PNG),
        ("*/*", JSON, PNG),
        ("image/*", PNG, PNG),
        ("application/*", JSON, JSON),
        ("image/png, application/json", PNG, PNG),
        ("application/json, image/png", JSON, JSON),
        ("application/json;q=0.5, image/png", PNG, PNG),
        ("image/png;q=0.5, application/json;q=0.6", JSON, JSON),
        ("IMAGE/PNG", PNG, PNG),
        ("image/png;q=0, */*", JSON, JSON),
        ("application/json;q=0, */*", PNG, PNG),
        # The most precise range says how much a type is wanted.
        ("*/*;q=1.0, image/png;q=0.1", JSON, JSON),
        ("image/*;q=0.9, application/json;q=0.8", PNG, PNG),
        ("text/html, image/png;level=1;q=0.3, application/json;q=0.2", PNG, PNG),
        ("image/png;q=x, application/json;q=0.1", JSON, JSON),
        ("text/html", None, None),
        ("image/png;q=0", None, None),
    ],
)
def test_the_type_of_an_answer_is_what_is_accepted_most(accept: str, plain: str | None, overlay: str | None) -> None:
    for query, wanted in (([], plain), ([("overlay", "1")], overlay)):
        if wanted is None:
            assert refused(predict.wish, query, accept) == (406, "Accept")
        else:
            assert predict.wish(query, accept).media_type == wanted


def test_runs_of_a_map_have_the_box_of_each_class_and_its_mean_probability() -> None:
    classes = np.array([[0, 0, 7, 7], [0, 1, 1, 7], [0, 0, 0, 0]], np.uint8)
    probability = (np.arange(12).reshape(3, 4) / 16).astype(np.float32)
    found = outputs.runs(classes, ["sky", "car"], probability)
    assert [(each["class_id"], each["class"]) for each in found] == [(0, "sky"), (1, "car"), (7, "7")]
    boxes = [[each[name] for name in ("x", "y", "width", "height")] for each in found]
    assert boxes == [[2, 1.5, 4, 3], [2, 1.5, 2, 1], [3, 1, 2, 2]]
    assert [each["confidence"] for each in found] == pytest.approx([43 / 7 / 16, 5.5 / 16, 4 / 16])
    assert found[1]["rle"]["size"] == [3, 4]
    assert all("confidence" not in each for each in outputs.runs(classes, ["sky", "car"]))


def test_people_are_listed_as_coco_lists_them() -> None:
    xy = np.array([[[1, 2], [5, 9], [3, 4]], [[1, 1], [2, 2], [4, 3]]], np.float32)
    score = np.array([[0.5, 0.0, 0.25], [0, 0, 0]], np.float32)
    one, other = outputs.people(Poses(xy, score, np.array([0.75, 0.125], np.float32)))
    assert one == {
        "category_id": 1,
        "keypoints": [1, 2, 0.5, 5, 9, 0, 3, 4, 0.25],
        "score": 0.75,
        "bbox": [1, 2, 2, 2],  # of the joints that are seen
    }
    assert other["bbox"] == [1, 1, 3, 2] and other["score"] == 0.125  # where none is: of all


def test_pictures_of_answers_are_read_as_they_were() -> None:
    rng = np.random.default_rng(0)
    for pixels in (
        rng.integers(0, 255, (4, 5), np.uint8),
        rng.integers(0, 65535, (4, 5), np.uint16),
        rng.integers(0, 255, (4, 5, 3), np.uint8),
    ):
        read = cv2.imdecode(np.frombuffer(outputs.png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read[:, :, ::-1] if pixels.ndim == 3 else read, pixels)
    assert base64.b64encode(outputs.png(np.zeros((1, 1), np.uint8))).startswith(b"iVBOR")


def test_limbs_are_those_of_a_skeleton_with_as_many_joints() -> None:
    from densecast.tasks import pose, segmentation

    spec = tiny_specs.pose()
    assert outputs.limbs(segmentation.TASK, tiny_specs.segmentation()) == []
    skeleton = pose.skeleton_of(spec)
    expected = [list(pair) for pair in skeleton.limbs] if pose.TASK.joints_of(spec) == len(skeleton.joints) else []
    assert outputs.limbs(pose.TASK, spec) == expected


def test_what_a_model_does_not_predict_is_refused_before_the_picture_is_read() -> None:
    """Points have scores and no masks; labels of pixels have both."""
    scored, plain = SimpleNamespace(scores=True), SimpleNamespace(scores=False)
    people = {"predictions": plain, "overlay_png": plain}
    labels = {"class_id": plain, "class_id_png": plain, "class_id_rle": plain, "probability": scored}

    def status(task: str, outputs: dict[str, Any], query: list[tuple[str, str]], accept: str = "") -> Any:
        pipeline = SimpleNamespace(spec=SimpleNamespace(task=task))
        model: Any = SimpleNamespace(pipeline=pipeline, outputs=outputs)
        wished = predict.wish(query, accept)
        try:
            predict.job_of(
                model, b"no picture", "image/png", wished, max_pixels=1e6, deadline_s=1.0, request_id="a"
            )  # fmt: skip
        except Refused as error:
            return error.status, error.field
        except (BadImageError, AttributeError):
            return "read"
        raise AssertionError("it is no picture")

    assert status("pose", people, [("scores", "1")]) == (400, "scores")
    assert status("pose", people, [("response_mask_format", "rle")]) == (400, "response_mask_format")
    assert status("pose", people, [], "image/png") == (406, "Accept")
    assert status("pose", people, []) == "read"
    assert status("pose", people, [("overlay", "1")], "image/png") == "read"
    for query in ([], [("scores", "1")], [("response_mask_format", "rle")]):
        assert status("segmentation", labels, query) == "read"
    assert status("segmentation", labels, [], "image/png") == "read"
