"""A store: records of every image of a run in Parquet files, from which its score is computed."""
