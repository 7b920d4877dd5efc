"""A file for each data set: its layout opens a folder (`DATASET.open`), and finds what is wrong with one (`.check`)."""
