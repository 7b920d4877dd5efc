"""A file for each metric: a pure count for each image, and the score of any collection of counts."""
