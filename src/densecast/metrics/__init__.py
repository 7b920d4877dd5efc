"""One file per metric: a pure count for each image, and a score of any collection of counts."""
