"""One file per engine; each implements `backends._base.Backend`."""
