"""Conformance checks for plug-ins, to be called from the tests of their authors.

```python
from densecast.testing import check_metric

def test_my_metric() -> None:
    check_metric(MyMetric(), spec, [("a", prediction, target), ("b", other_prediction, other_target)])
```

Each raises an AssertionError that says in a sentence what is not as it has to be. The package's own plug-ins pass the
same checks. Nothing here needs a test framework.
"""

from __future__ import annotations

from densecast.testing.backends import check_backend
from densecast.testing.datasets import check_dataset
from densecast.testing.metrics import check_metric
from densecast.testing.networks import check_network
from densecast.testing.tasks import check_task

__all__ = ["check_backend", "check_dataset", "check_metric", "check_network", "check_task"]
