"""Who takes part in `benchmarks/peers.py`, one file each: the same work, as different users would write it.

A contender module has `enter(job) -> Contender`. Everything a contender does to an image is in its file, or in the
`plain_…` files that those share which are written with OpenCV and numpy alone.
"""
