"""Who computes a run's images: this process, processes of this machine, or a cluster; shard by shard."""
