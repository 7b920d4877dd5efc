"""One graph pass per file: `apply(model, …) -> PassResult`, which says what it did or why it did not apply."""
