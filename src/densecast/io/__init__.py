"""File access: atomic writes, bounded reads, the cache, configuration, and other tools' formats."""
