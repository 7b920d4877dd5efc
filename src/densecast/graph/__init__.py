"""One graph pass per file: `apply(model, …) -> PassResult`, which reports what it changed or why it did not apply."""
