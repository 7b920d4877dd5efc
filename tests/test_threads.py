"""One pipeline, many threads: everybody's own answer, no error, flat memory; two pipelines at once; processes."""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import gc
import multiprocessing
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from made_images import picture

from densecast.artifact import Artifact
from densecast.backends._base import BACKENDS
from densecast.errors import BadShapeError, UnknownNameError, UsageError
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.runtime.execution import Mode, configure
from densecast.session import Session
from densecast.spec.augment import Augment
from densecast.spec.options import BuildOptions, InputShape, Range

ENGINES = ("openvino", "onnxruntime", "reference", "torch")
SIZES_HW = ((64, 96), (96, 64), (70, 92), (64, 64), (33, 120))
THREADS = 8


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artifact]:
    """A built artifact of every engine that is installed, made when it is first asked for."""
    made: dict[str, Artifact] = {}
    shape = InputShape(Range(1, 4), Range(8, 512), Range(8, 512))

    def artifact(backend: str) -> Artifact:
        if backend not in made:
            missing = BACKENDS.load(backend).capabilities().missing
            if missing:
                pytest.skip(missing)
            folder = tmp_path_factory.mktemp(backend)
            options = BuildOptions(backend, shape=shape)
            if backend == "torch":
                import tiny_torch

                from densecast.verbs.builder import build
                from densecast.verbs.export import export_file

                script = tiny_torch.write_script(folder / "tiny.pt")
                made[backend] = build(
                    export_file(script, tiny_artifacts.spec(), folder / "float"), folder / "b", options
                )
            else:
                made[backend] = tiny_artifacts.compiled(folder, options)
        return made[backend]

    return artifact


def wrong_answers(pipelines: list[Pipeline], calls: int) -> int:
    """How many of `calls` in each of many threads differ from what one thread alone gets."""
    images = [picture(size_hw, seed) for seed, size_hw in enumerate(SIZES_HW)]
    expected = [[pipeline(image).class_id for image in images] for pipeline in pipelines]
    begin = threading.Barrier(THREADS)

    def work(worker: int) -> int:
        begin.wait()
        wrong = 0
        for call in range(calls):
            which, place = (worker + call) % len(pipelines), (3 * worker + call) % len(images)
            answer = pipelines[which](images[place]).class_id
            wrong += not np.array_equal(answer, expected[which][place])
        return wrong

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(work, range(THREADS)))


def cases() -> Iterator[object]:
    for backend in ENGINES:
        for mode in ("latency", "throughput"):
            for flip in (False, True):
                yield pytest.param(backend, mode, flip, id=f"{backend}-{mode}{'-flip' if flip else ''}")


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "mode", "flip"), list(cases()))
def test_eight_threads_on_one_pipeline_get_the_answers_that_one_thread_gets(
    artifacts: Callable[[str], Artifact], backend: str, mode: Mode, flip: bool
) -> None:
    with Pipeline.open(artifacts(backend), threads=2, mode=mode, augment=Augment(flip=flip)) as pipeline:
        assert wrong_answers([pipeline], calls=10) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "mode", "flip"),
    [
        *(("openvino", mode, flip) for mode in ("latency", "throughput") for flip in (False, True)),
        *(("onnxruntime", mode, True) for mode in ("latency", "throughput")),
        # Several seconds for a thousand images; what holds memory is the pipeline's, whatever the engine.
        *((backend, "latency", False) for backend in ENGINES if backend not in ("openvino", "onnxruntime")),
    ],
)
def test_eight_threads_of_two_hundred_calls_leave_memory_flat(
    artifacts: Callable[[str], Artifact], backend: str, mode: Mode, flip: bool
) -> None:
    with Pipeline.open(artifacts(backend), threads=2, mode=mode, augment=Augment(flip=flip)) as pipeline:
        assert wrong_answers([pipeline], calls=20) == 0
        before = resident_mb()
        assert wrong_answers([pipeline], calls=200) == 0
        # Allocators keep what threads once used; 1600 calls that each kept an input of 36 kB would hold 56 MB.
        assert resident_mb() - before < 24


@pytest.mark.slow
@pytest.mark.parametrize("backend", ENGINES)
def test_two_pipelines_at_once_do_not_disturb_each_other(artifacts: Callable[[str], Artifact], backend: str) -> None:
    with (
        Pipeline.open(artifacts(backend), threads=2, mode="throughput") as left,
        Pipeline.open(artifacts("onnxruntime"), threads=1) as right,
    ):
        assert wrong_answers([left, right], calls=10) == 0


def test_forward_gives_arrays_of_the_callers_own(artifacts: Callable[[str], Artifact]) -> None:
    artifact = artifacts("openvino")
    with Pipeline.open(artifact, threads=1) as pipeline:
        inputs = [pipeline.preprocess(picture((64, 96), seed)) for seed in range(2)]
        first = pipeline.forward(inputs[0])[0][pipeline.spec.output.name]
        kept = first.copy()
        pipeline.forward(inputs[1])
        np.testing.assert_array_equal(first, kept)
        feeds = {name: array[None] for name, array in inputs[0].feeds[0].items()}
        answer = pipeline.session.forward(feeds)[pipeline.spec.output.name]
        pipeline.session.forward({name: array + 1 for name, array in feeds.items()})
        np.testing.assert_array_equal(answer[0], kept)


def test_callers_beyond_the_workers_wait(artifacts: Callable[[str], Artifact]) -> None:
    with Pipeline.open(artifacts("onnxruntime"), threads=2, mode="throughput") as pipeline:
        session, workers = pipeline.session, pipeline.config.num_workers
        entered, leave = threading.Semaphore(0), threading.Event()

        def hold() -> int:
            with session.lease() as slot:
                entered.release()
                leave.wait(10)
                return slot.number

        with ThreadPoolExecutor(workers + 2) as pool:
            held = [pool.submit(hold) for _ in range(workers + 2)]
            for _ in range(workers):
                assert entered.acquire(timeout=10)
            assert not entered.acquire(timeout=0.1)
            leave.set()
            numbers = [each.result(10) for each in held]
        assert set(numbers) == set(range(workers))


def test_a_closed_session_says_so(artifacts: Callable[[str], Artifact]) -> None:
    pipeline = Pipeline.open(artifacts("onnxruntime"), threads=1)
    pipeline.close()
    pipeline.close()
    with pytest.raises(UsageError, match="closed"):
        pipeline(picture((64, 96), 1))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 96, 5), np.uint8),
        np.zeros((64, 96, 2), np.uint8),
        np.zeros((64, 96, 3), np.float32),
        np.zeros((64, 96, 3), np.uint16),
        np.zeros((0, 96, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_what_is_no_rgb_image_of_bytes_is_refused(artifacts: Callable[[str], Artifact], image: object) -> None:
    with Pipeline.open(artifacts("onnxruntime"), threads=1) as pipeline, pytest.raises(BadShapeError):
        pipeline(image)  # type: ignore[arg-type]


def test_a_pipeline_says_what_to_send_to_another_process(artifacts: Callable[[str], Artifact]) -> None:
    with Pipeline.open(artifacts("onnxruntime"), threads=1) as pipeline:
        for copied in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match=r"send a densecast\.PipelineConfig"):
                copied(pipeline)
    with pytest.raises(UnknownNameError, match="unknown mode 'fast'"):
        Pipeline.open(artifacts("onnxruntime"), mode="fast")  # type: ignore[arg-type]


def answer_of(config: PipelineConfig, seed: int) -> bytes:
    """What a worker process does: open its own pipeline, and answer."""
    with Pipeline.open(config) as pipeline:
        return bytes(pipeline(picture((64, 96), seed)).class_id)


@pytest.mark.slow
def test_a_pipelines_config_can_be_pickled_and_opened_in_a_spawned_worker(
    artifacts: Callable[[str], Artifact],
) -> None:
    config = PipelineConfig(artifacts("onnxruntime").folder, threads=1, mode="throughput", augment=Augment(flip=True))
    assert pickle.loads(pickle.dumps(config)) == config
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(answer_of, config, 3).result(120) == answer_of(config, 3)


def forked(work: Callable[[], str], limit_s: float = 60) -> str:
    """What `work` returns in a process forked from this one, or how else it ended."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        # Where it hangs is told beside, by a signal that needs no lock of Python's.
        faulthandler.dump_traceback_later(limit_s - 5)
        try:
            said = work()
        except BaseException as error:  # the child says what happened, whatever it was
            said = f"{type(error).__name__}: {error}"
        try:
            gc.collect()
        finally:
            os.write(writer, said.encode()[:4000])
            os._exit(0)
    os.close(writer)
    timer = threading.Timer(limit_s, os.kill, (process, 9))
    timer.start()
    with os.fdopen(reader, "rb") as stream:
        said = stream.read().decode()
    timer.cancel()
    _, status = os.waitpid(process, 0)
    return said or ("hangs" if status == 9 else f"ends with status {status}")


IN_WORDS = re.compile("UsageError.*spawn")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_process_forked_after_use_works_or_is_refused_in_words(
    artifacts: Callable[[str], Artifact], backend: str, threads: int
) -> None:
    artifact = artifacts(backend)
    image = picture((64, 96), 1)
    with Pipeline.open(artifact, threads=threads) as pipeline:
        expected = pipeline(image).class_id

        def opened_anew() -> str:
            with Pipeline.open(artifact, threads=threads) as own:
                return str(np.array_equal(own(image).class_id, expected))

        def shared() -> str:
            return str(np.array_equal(pipeline(image).class_id, expected))

        def closed() -> str:
            pipeline.close()
            return "True"

        for work in (opened_anew, shared, closed):
            said = forked(work)
            assert said == "True" or IN_WORDS.match(said), said


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_forked_process_leaves_alone_what_engines_left_behind(
    artifacts: Callable[[str], Artifact], backend: str
) -> None:
    # A model's destructor waits for threads, and these are not there.
    pipeline = Pipeline.open(artifacts(backend), threads=2)
    pipeline(picture((64, 96), 1))
    kept = [pipeline]
    garbage: list[object] = [Pipeline.open(artifacts(backend), threads=2)]
    garbage.append(garbage)
    del pipeline, garbage

    def dropped() -> str:
        kept.clear()
        return str(gc.collect() >= 0)

    assert forked(dropped) == "True"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_in_the_middle_of_a_call_is_refused_in_words(artifacts: Callable[[str], Artifact]) -> None:
    artifact = artifacts("onnxruntime")
    with Session.open(artifact, configure(threads=1)) as session:
        feeds = {each.name: np.zeros((1, 3, 64, 96), np.float32) for each in session.spec.inputs}
        with session.lease():
            assert IN_WORDS.match(forked(lambda: str(session.forward(feeds))))
        # This process goes on.
        assert session.forward(feeds)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_awaited_calls_have_threads_of_their_own_in_a_forked_process(artifacts: Callable[[str], Artifact]) -> None:
    image = picture((64, 96), 1)

    async def answer() -> bytes:
        return bytes((await pipeline.apredict(image)).class_id)

    with Pipeline.open(artifacts("onnxruntime"), threads=1) as pipeline:
        expected = asyncio.run(answer())
        assert forked(lambda: str(asyncio.run(answer()) == expected), limit_s=30) == "True"
        assert asyncio.run(answer()) == expected


def resident_mb() -> float:
    with Path("/proc/self/statm").open() as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_session_needs_no_artifact(artifacts: Callable[[str], Artifact]) -> None:
    artifact = artifacts("onnxruntime")
    with Pipeline.open(artifact, threads=1) as opened:
        config = opened.config
        runner = BACKENDS.load("onnxruntime").load(artifact, config)
        with Pipeline(Session(artifact.spec, runner, config)) as pipeline:
            image = picture((64, 96), 2)
            np.testing.assert_array_equal(pipeline(image).class_id, opened(image).class_id)
            assert pipeline.artifact is None
