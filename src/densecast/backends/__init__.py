"""One file per engine; each defines what `core.runner.Backend` names."""
