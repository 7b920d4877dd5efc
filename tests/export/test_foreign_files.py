"""A foreign model file is read and run in a confined process: it harms nobody, and one line says why it is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from onnx import TensorProto, helper

from densecast.errors import BadGraphError, DensecastError, UsageError
from densecast.runtime import cell, confinement, machine
from densecast.verbs.export import export_file

# torch announces the end of TorchScript with every call.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SMALL = cell.Limits(memory_bytes=256 << 20, cpu_s=10, wall_s=60, file_bytes=1 << 20)


def graph(*nodes: onnx.NodeProto, functions: tuple[onnx.FunctionProto, ...] = (), **constants: Any) -> onnx.ModelProto:
    """A convolution to two maps "c", then `nodes`, which make "logits" of it; constants are int64."""
    tensors = [helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [1, 2, 3, 4, 5, 6])]
    for name, values in constants.items():
        kind = TensorProto.BOOL if name == "true" else TensorProto.INT64
        tensors.append(helper.make_tensor(name, kind, [len(values)] if name != "true" else [], values))
    sides = ["N", "H", "W"]
    image, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [sides[0], channels, *sides[1:]])
        for name, channels in (("image", 3), ("logits", 2))
    )
    made = helper.make_graph([helper.make_node("Conv", ["image", "w"], ["c"]), *nodes], "g", [image], [logits], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    return helper.make_model(made, opset_imports=opsets, functions=list(functions), ir_version=8)


def fan_out(depth: int) -> onnx.ModelProto:
    """Functions each of which calls the next one twice: 2^depth steps in a few kilobytes."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    made = [helper.make_function("f", f"f{depth}", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], opsets)]
    for level in range(depth):
        calls = [helper.make_node(f"f{level + 1}", [a], [b], domain="f") for a, b in (("x", "a"), ("a", "y"))]
        made.append(helper.make_function("f", f"f{level}", ["x"], ["y"], calls, opsets))
    return graph(helper.make_node("f0", ["c"], ["logits"], domain="f"), functions=tuple(made))


def loop(turns: str, *before: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["v"], ["r"])],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, None)],
        [info("on", TensorProto.BOOL, []), info("r", TensorProto.FLOAT, None)],
    )
    looped = helper.make_node("Loop", [turns, "true", "c"], ["logits"], body=body)
    return graph(*before, looped, true=[True], **constants)


def added(*made: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """A graph that adds the largest value of "made" to its answer."""
    largest = helper.make_node("ReduceMax", ["made"], ["r"], keepdims=0)
    return graph(*made, largest, helper.make_node("Add", ["c", "r"], ["logits"]), **constants)


def with_type(number: int) -> onnx.ModelProto:
    model = graph(helper.make_node("Relu", ["c"], ["logits"]))
    model.graph.initializer[0].data_type = number
    return model


FILL = helper.make_node("ConstantOfShape", ["size"], ["made"])
SQUARE = helper.make_node("Mul", ["size", "size"], ["square"])
ONE = helper.make_node("Constant", [], ["one"], value_float=1.0)
# What each asks for, and the words that say so.
GREEDY = {
    "functions that call the next twice, 26 deep": (fan_out(26), "steps"),
    "functions that call the next twice, 40 deep": (fan_out(40), "steps"),
    "a loop of 2^62 turns": (loop("n", n=[2**62]), "steps"),
    "a constant of 3 GiB": (added(FILL, size=[3 << 28]), "3 GiB"),
    "an expansion to 1 GiB": (added(ONE, helper.make_node("Expand", ["one", "size"], ["made"]), size=[1 << 28]), "GiB"),
    "3 GiB of which the size is computed": (
        added(
            ONE,
            SQUARE,
            helper.make_node("Expand", ["one", "square"], ["e"]),
            helper.make_node("Exp", ["e"], ["made"]),
            size=[28377],
        ),
        cell.GIB,
    ),
    "a type of numbers that is none": (with_type(99), "type of numbers, 99"),
}


@pytest.mark.parametrize("what", GREEDY)
def test_graphs_that_ask_for_too_much_are_refused_and_cost_the_caller_nothing(tmp_path: Path, what: str) -> None:
    model, words = GREEDY[what]
    before = machine.peak_rss_mb()
    with pytest.raises(BadGraphError, match=words):
        tiny_artifacts.exported(tmp_path, model)
    assert machine.peak_rss_mb() < before + 100
    assert not (tmp_path / "float").exists()


def test_what_runs_too_long_is_ended_and_the_message_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = helper.make_node("Mul", ["n", "n"], ["many"])
    monkeypatch.setenv(cell.SECONDS, "1")
    with pytest.raises(BadGraphError, match=f"did not finish in 1 s .*{cell.SECONDS}"):
        tiny_artifacts.exported(tmp_path, loop("many", squares, n=[2**30]))
    monkeypatch.setenv(cell.SECONDS, "soon")
    with pytest.raises(UsageError, match=cell.SECONDS):
        tiny_artifacts.exported(tmp_path, tiny_graphs.segmentation())


def test_a_short_loop_and_functions_that_are_called_once_are_exported(tmp_path: Path) -> None:
    tiny_artifacts.exported(tmp_path, loop("n", n=[3]))
    tiny_artifacts.exported(tmp_path, fan_out(3), name="functions")


SCRIPTS = {
    "writes a file": "    torch.save(self.c(x), '{target}')\n    return self.c(x)",
    "reads a file": "    return self.c(x) + torch.from_file('/etc/passwd', False, 8, dtype=0).sum()",
    "writes in a branch never taken": "    if x.size(0) > 99:\n        torch.save(x, '{target}')\n    return self.c(x)",
}


def script(path: Path, body: str) -> Path:
    import torch

    class Net(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.c = torch.nn.Conv2d(3, 2, 1)

    net = Net()
    net.define(f"def forward(self, x):\n{body}\n")
    net.save(str(path))
    return path


@pytest.mark.torch
@pytest.mark.parametrize("what", SCRIPTS)
def test_scripts_that_reach_for_files_are_refused_before_they_run(tmp_path: Path, what: str) -> None:
    torch = pytest.importorskip("torch")
    target = tmp_path / "written"
    path = script(tmp_path / "net.pt", SCRIPTS[what].format(target=target))
    with pytest.raises(BadGraphError, match=r"no network needs: aten::(save|from_file)"):
        export_file(path, tiny_artifacts.spec(), tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.pt"]
    if "files" not in what and what == "writes a file":  # the file does write, where nothing keeps it from it
        torch.jit.load(str(path))(torch.zeros(1, 3, 8, 8))
        assert target.exists()


@pytest.mark.torch
def test_a_script_that_writes_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    target = tmp_path / "written"
    source = (
        "import torch\nfrom typing import Tuple\n"
        "class Hostile(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.training = False\n"
        "    def forward(self, x):\n        return x[:, :2]\n"
        "    @torch.jit.export\n    def __getstate__(self):\n        return (torch.zeros(1), False)\n"
        "    @torch.jit.export\n    def __setstate__(self, state: Tuple[torch.Tensor, bool]):\n"
        f"        torch.ops.aten.save(state[0], '{target}')\n        self.training = state[1]\n"
    )
    (tmp_path / "hostile_source.py").write_text(source)
    names: dict[str, Any] = {}
    import importlib.util

    found = importlib.util.spec_from_file_location("hostile_source", tmp_path / "hostile_source.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    names = vars(module)
    torch.jit.script(names["Hostile"]()).save(str(tmp_path / "net.pt"))
    with pytest.raises(BadGraphError, match="no network needs: aten::save"):
        export_file(tmp_path / "net.pt", tiny_artifacts.spec(), tmp_path / "out")
    assert not target.exists()
    torch.jit.load(str(tmp_path / "net.pt"))
    assert target.exists()


@pytest.mark.torch
@pytest.mark.slow
def test_a_script_that_takes_3_gib_or_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    before = machine.peak_rss_mb()
    path = script(tmp_path / "large.pt", "    return self.c(x) + torch.ones([805306368]).max()")
    with pytest.raises(BadGraphError, match=cell.GIB):
        export_file(path, tiny_artifacts.spec(), tmp_path / "out")
    monkeypatch.setenv(cell.SECONDS, "2")
    path = script(tmp_path / "long.pt", "    y = self.c(x)\n    while True:\n        y = y + 1\n    return y")
    with pytest.raises(BadGraphError, match=cell.SECONDS):
        export_file(path, tiny_artifacts.spec(), tmp_path / "out")
    assert machine.peak_rss_mb() < before + 100


def attempt(folder: Path, what: str, argument: str = "", **more: Any) -> Any:
    """One attempt of `cell_attempts`, in a cell."""
    folder.mkdir(exist_ok=True)
    payload = {"what": what, "argument": argument}
    return cell.run_in_cell(
        "cell_attempts:attempt", payload, folder, subject="it", bounds=SMALL, preload=("cell_attempts",), **more
    )


REACHING = ("write", "overwrite", "read", "connect", "program", "fork", "signal", "parents variables")


@pytest.mark.parametrize("what", REACHING)
def test_a_confined_process_reaches_nothing_and_the_same_code_does_outside(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cell_attempts

    if not (confinement.landlock_abi() and confinement.has_seccomp()):
        pytest.skip("this kernel has no Landlock or no seccomp")
    monkeypatch.setenv("SECRET_TOKEN", "known")
    (tmp_path / "there").write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = {
            "write": str(tmp_path / "new"),
            "overwrite": str(tmp_path / "there"),
            "read": str(tmp_path / "there"),
            "connect": str(server.getsockname()[1]),
            "signal": str(os.getpid()),
        }
        with pytest.raises(BadGraphError, match=r"Errno 1\b|Errno 13\b|KeyError"):
            attempt(tmp_path / "scratch", what, arguments.get(what, ""))
        assert not (tmp_path / "new").exists() and (tmp_path / "there").read_text() == "mine"
        if what != "fork":
            cell_attempts.attempt({"what": what, "argument": arguments.get(what, "")}, tmp_path)


def test_a_confined_process_may_work_in_its_scratch_folder(tmp_path: Path) -> None:
    assert attempt(tmp_path / "scratch", "work") == {"threads": 1, "text": "text"}
    assert (tmp_path / "scratch" / "folder" / "b").read_text() == "text"


def test_a_fault_of_densecasts_own_code_is_told_as_such_and_not_laid_to_the_file(tmp_path: Path) -> None:
    function = "densecast.backends._openvino_trial:compile_and_run"
    with pytest.raises(RuntimeError, match=r"KeyError[\s\S]*in compile_and_run"):
        cell.run_in_cell(function, {}, tmp_path, subject="it", bounds=SMALL)


def test_however_the_process_ends_the_caller_gets_one_line(tmp_path: Path) -> None:
    for what, words in (
        ("crash", "signal 11, SIGSEGV"),
        ("abort", "signal 6, SIGABRT"),
        ("memory", cell.GIB),
        ("disk", "Errno 27"),
        ("exit", "ended with 7"),
        ("no answer", "gave no answer"),
        ("link as answer", "gave no answer"),
    ):
        with pytest.raises(BadGraphError, match=words) as caught:
            attempt(tmp_path / what, what)
        assert "\n" not in str(caught.value)


def test_a_lie_about_the_error_is_an_error_of_ours_only(tmp_path: Path) -> None:
    with pytest.raises(DensecastError) as caught:
        attempt(tmp_path / "lie", "lie")
    assert type(caught.value) is BadGraphError


def test_a_graph_that_is_compared_is_first_run_in_a_confined_process_too(tmp_path: Path) -> None:
    from densecast.verbs.compare.stage import open_stage

    known = tiny_artifacts.exported(tmp_path)
    open_stage(tmp_path / "tiny.onnx", known, 1)
    onnx.save(GREEDY["3 GiB of which the size is computed"][0], tmp_path / "greedy.onnx")
    before = machine.peak_rss_mb()
    with pytest.raises(BadGraphError, match=cell.GIB):
        open_stage(tmp_path / "greedy.onnx", known, 1)
    assert machine.peak_rss_mb() < before + 100


def test_time_on_the_clock_grows_with_the_load_and_cpu_time_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = os.cpu_count() or 1
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    quiet = cell.limits(1 << 20, 1 << 18)
    monkeypatch.setattr(os, "getloadavg", lambda: (8.0 * cpus, 0.0, 0.0))
    crowded = cell.limits(1 << 20, 1 << 18)
    assert crowded.wall_s == 8 * quiet.wall_s
    assert (crowded.cpu_s, crowded.memory_bytes) == (quiet.cpu_s, quiet.memory_bytes)
