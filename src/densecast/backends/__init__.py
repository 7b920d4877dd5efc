"""One file per engine; each defines what `backends._base.Backend` names."""
