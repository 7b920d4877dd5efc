"""One file per task: `decode` turns outputs into predictions, `draw` shows one, `save` writes one."""
