"""One file per data set: its layout opens a folder (`DATASET.open`) and reports what is wrong with it (`.check`)."""
