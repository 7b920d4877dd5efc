"""Quantises one OpenVINO model by several calibration methods from one pass over the images.

NNCF places the quantisers, turns ranges into quantisers' parameters and corrects biases; it would find the ranges by
running the model anew for every method, with statistics in NumPy that take longer than the inference. Here the model
runs once, and `ValueStatistics` hands NNCF what its own collectors would have found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from densecast.backends import _divided_statistics, _openvino_ranges, _settled
from densecast.backends._divided import Divided
from densecast.backends._divided_statistics import Taker
from densecast.backends._openvino_statistics import RangeTaker, StatisticsPass
from densecast.backends._value_statistics import ChannelMeans, ValueStatistics
from densecast.spec.options import CalibrationMethod, QuantizeOptions
from densecast.spec.tensor import Array, Feeds


class UnknownPartsError(Exception):
    """NNCF's parts are not those of the versions known here; never leaves the package."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A place whose values are wanted: the number of the model's output that shows them, and who wants to know."""

    place: Any
    output: int
    collector: Any
    key: tuple[int, ...]
    is_absolute: bool


class Calibrator:
    """One model's quantisers, placed once; `collect` runs the images, `int8` makes a model of any method collected."""

    def __init__(self, model: Any, steps: Sequence[Sequence[Any]], options: QuantizeOptions) -> None:
        """`steps` are those of NNCF's pipeline: its algorithm that places quantisers, and the one for biases.

        Raises:
            UnknownPartsError: they are others than those known here.
        """
        try:
            from nncf.common.factory import build_graph
            from nncf.openvino.graph.model_utils import remove_friendly_name_duplicates
            from openvino._offline_transformations import compress_quantize_weights_transformation

            (self._algorithms,) = steps
            self._min_max = self._algorithms[0]
            self._model = remove_friendly_name_duplicates(model)
            if any(node.get_type_name() in ("If", "Loop", "TensorIterator") for node in self._model.get_ops()):
                raise UnknownPartsError
            self._graph = build_graph(self._model)
            self._build_graph, self._compress = build_graph, compress_quantize_weights_transformation
            self._points = self._min_max.get_statistic_points(self._model, self._graph)
            self._options = options
            self._made: dict[bool, Any] = {}
            self._outside = 1 - options.percentile / 100
            self._methods, self._seen = frozenset[CalibrationMethod](), 0
            self._statistics: dict[tuple[int, tuple[int, ...]], ValueStatistics] = {}
            self._means: dict[tuple[int, int], ChannelMeans] = {}
            self._prepare()
        except (ImportError, AttributeError, TypeError, ValueError, KeyError, RuntimeError) as error:
            raise UnknownPartsError from error

    def collect(
        self,
        calibration: Sequence[Feeds],
        methods: Collection[CalibrationMethod],
        *,
        with_biases: bool,
    ) -> None:
        """Run the float model on every image once, for ranges by the methods and, where asked, for biases."""
        self._start(methods, with_biases=with_biases)
        self._collected(self._one_pass(methods), calibration)

    def settle(
        self, calibration: Sequence[Feeds], method: CalibrationMethod, *, with_biases: bool, seen: int = 0
    ) -> int:
        """Collect until twice as many images hardly move ranges by a method; returns the number of images.

        Images are to be in an order in which every beginning is like all of them. The first `seen` are those that
        `collect` was called with before, by that method among others: they are not run again.
        """
        if seen and seen == self._seen and method in self._methods:
            for statistics in self._statistics.values():
                statistics.only(method)
            self._methods, self._means = frozenset({method}), self._means if with_biases else {}
        else:
            self._start([method], with_biases=with_biases)
        one_pass, before = self._one_pass([method]), None
        for count in _settled.rounds(len(calibration)):
            if count > self._seen:
                self._collected(one_pass, calibration[self._seen : count])
            now = [self._statistics[point.output, point.key].range(method, absolute=False) for point in self._ranges]
            is_settled = before is not None and _settled.are_settled(before, now)
            if is_settled or _settled.are_enough(self._seen, method):
                break
            before = now
        return self._seen

    def _start(self, methods: Collection[CalibrationMethod], *, with_biases: bool) -> None:
        """Forget all images."""
        self._methods, self._seen = frozenset(methods), 0
        self._means = {(place, axis): ChannelMeans(axis) for place, axis, _ in self._biases if with_biases}
        self._statistics = {
            (point.output, point.key): ValueStatistics(
                methods, self._outside, point.key[1:], samples=bool(point.key[0])
            )
            for point in self._ranges
        }

    def _one_pass(self, methods: Collection[CalibrationMethod]) -> StatisticsPass:
        """What runs images for ranges by some methods.

        Where extremes are all that these take, the engine finds them: the same numbers, and no tensor is written out.
        """
        copy = self._model.clone()
        shown = _Shown(copy, self._places)
        ranges = []
        for (place, key), statistics in self._statistics.items():
            ends = None if ValueStatistics.needs_values(methods) else shown.extremes(place, key)
            outputs = shown.values(place) if ends is None else ends
            ranges.append(RangeTaker(self._places[place][0], statistics, outputs))
        means = [(shown.values(place)[0], channels) for (place, _), channels in self._means.items()]
        return StatisticsPass(shown.outputs, copy.get_parameters(), ranges, means)

    def _collected(self, one_pass: StatisticsPass, calibration: Sequence[Feeds]) -> None:
        if isinstance(calibration, Divided) and ValueStatistics.merges(self._methods):
            takers = [
                Taker(each.outputs, each.statistics, "add" if len(each.outputs) == 1 else "add_extremes", each.layer)
                for each in one_pass.ranges
            ]
            takers += [Taker((output,), channels) for output, channels in one_pass.means]
            _divided_statistics.collect_elsewhere(calibration, one_pass.model, takers, self._seen)
        else:
            one_pass.run(calibration, self._seen)
        self._seen += len(calibration)

    def int8(self, method: CalibrationMethod, *, corrects_biases: bool) -> Any:
        """A quantised model by one of the methods that were collected, with biases corrected or not."""
        from nncf.common.tensor_statistics.statistics import MeanTensorStatistic, MinMaxTensorStatistic
        from nncf.tensor import Tensor

        statistics = {}
        for point in self._ranges:
            found = self._statistics[point.output, point.key].range(method, absolute=point.is_absolute)
            low, high = (Tensor(each) for each in found)
            statistics[point.place] = MinMaxTensorStatistic(min_values=low, max_values=high)
            point.collector.set_cache(statistics[point.place])
        model = self._quantised(statistics, compressed=not corrects_biases)
        if corrects_biases:
            for place, axis, collector in self._biases:
                means = self._means[place, axis]
                shape = Tensor(np.array(means.shape))
                collector.set_cache(MeanTensorStatistic(mean_values=Tensor(means.mean), shape=shape))
            model = self._algorithms[1].apply(model, self._build_graph(model), self._bias_points)
            self._compress(model)
        return model

    def _quantised(self, statistics: dict[Any, Any], *, compressed: bool) -> Any:
        """The model with all quantisers, and with `compressed` weights in 8 bits.

        It is NNCF's own for the first ranges, and a copy of that with other ranges afterwards.
        """
        with contextlib.suppress(AttributeError, ImportError, KeyError, TypeError, ValueError):
            configs, groups = self._min_max._get_quantization_target_points(self._model, self._graph)
            ranges = _openvino_ranges.parameters(groups, configs, statistics, self._min_max._unify_statistics)
            if (model := _openvino_ranges.with_ranges(self._first(compressed=compressed), ranges)) is not None:
                return model
        model = self._min_max.apply(self._model, self._graph, self._points)
        if compressed:
            self._compress(model)
        return model

    def _first(self, *, compressed: bool) -> Any:
        if not self._made:
            self._made[False] = self._min_max.apply(self._model, self._graph, self._points)
        if compressed not in self._made:
            self._made[True] = self._made[False].clone()
            self._compress(self._made[True])
        return self._made[compressed]

    def _prepare(self) -> None:
        """Give the weights' collectors their values, and note which tensors the others wait for."""
        self._places: list[tuple[str, int]] = []
        self._ranges: list[_Point] = []
        nodes = {node.get_friendly_name(): node for node in self._model.get_ops()}
        weights: list[tuple[Any, Any]] = []
        for _, point, collector in self._points.get_tensor_collectors():
            output = _output_of(nodes, point.target_point)
            if point.target_point.is_weight_target_point():
                weights.append((output, collector))
                continue
            (low, high) = sorted(collector.reducers, key=lambda each: "Max" in type(each).__name__)
            names = {type(each).__name__.removeprefix("OV") for each in (low, high)}
            if names not in ({"MinReducer", "MaxReducer"}, {"MinReducer", "AbsMaxReducer"}):
                raise UnknownPartsError
            key = _key(low, output.get_partial_shape())
            self._ranges.append(
                _Point(point.target_point, self._place(output), collector, key, "AbsMaxReducer" in names)
            )
        for output, collector in weights:
            _register(collector, _constant(output))
        self._bias_points = self._algorithms[1].get_statistic_points(self._model, self._graph)
        self._biases: list[tuple[int, int, Any]] = []
        for _, point, collector in self._bias_points.get_tensor_collectors():
            axes = [vars(each)["_channel_axis"] for each in collector.reducers if "_channel_axis" in vars(each)]
            if len(axes) != 1:
                raise UnknownPartsError
            self._biases.append((self._place(_output_of(nodes, point.target_point)), axes[0], collector))

    def _place(self, output: Any) -> int:
        key = (output.get_node().get_friendly_name(), output.get_index())
        if key not in self._places:
            self._places.append(key)
        return self._places.index(key)


class _Shown:
    """Outputs that are added to a model for what they show; each once."""

    def __init__(self, model: Any, places: Sequence[tuple[str, int]]) -> None:
        self._nodes, self._places = {node.get_friendly_name(): node for node in model.get_ops()}, places
        self._numbers: dict[tuple[Any, ...], int] = {}
        self.outputs: list[Any] = []

    def values(self, place: int) -> tuple[int, ...]:
        """The number of the output with a tensor's values."""
        return (self._number((place,), lambda: self._source(place)),)

    def extremes(self, place: int, key: tuple[int, ...]) -> tuple[int, ...] | None:
        """The numbers of the outputs with its least and its greatest values; None where there is nothing to reduce."""
        from openvino import opset13

        rank = self._source(place).get_partial_shape().rank.get_length()
        kept = {*key[1:], *((0,) if key[0] else ())}
        axes = np.array([axis for axis in range(rank) if axis not in kept], np.int64)
        if not axes.size:
            return None

        def reduced(reduce: Callable[..., Any]) -> Callable[[], Any]:
            return lambda: reduce(self._source(place), axes, keep_dims=True).output(0)

        ends = (reduced(opset13.reduce_min), reduced(opset13.reduce_max))
        return tuple(self._number((place, key, end), make) for end, make in enumerate(ends))

    def _source(self, place: int) -> Any:
        name, port = self._places[place]
        return self._nodes[name].output(port)

    def _number(self, key: tuple[Any, ...], make: Callable[[], Any]) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.outputs)
            self.outputs.append(make())
        return self._numbers[key]


def _output_of(nodes: dict[str, Any], target: Any) -> Any:
    """The output of a node whose values a point stands for: its own, or that of what feeds it."""
    node = nodes[target.target_node_name]
    if target.type.name == "POST_LAYER_OPERATION":
        return node.output(target.port_id)
    return node.input_value(target.port_id)


def _key(reducer: Any, shape: Any) -> tuple[int, ...]:
    """Whether each item of a batch is a sample of its own (1 or 0), then the axes along which ranges differ.

    Along an axis of any length, as the pixels' of what a transposition makes channels of, there is one range for all.
    """
    rank = shape.rank.get_length()
    axes = set(range(rank) if reducer._axes is None else reducer._axes)
    kept = [axis for axis in range(1, rank) if axis not in axes and shape[axis].is_static]
    return (int(0 not in axes and rank > 1), *kept)


def _register(collector: Any, values: Array) -> None:
    from nncf.tensor import Tensor

    collector.register_input_for_all_reducers(Tensor(values))


def _constant(output: Any) -> Array:
    """The value of weights: a constant, or what the engine makes of constants."""
    import openvino as ov

    node = output.get_node()
    if node.get_type_name() == "Constant":
        return np.asarray(node.get_data())
    compiled = ov.Core().compile_model(ov.Model([output], [], "weights"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled({})[0])
