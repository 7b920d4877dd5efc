"""One metric per file: pure functions, and a thin accumulator over a data set."""
