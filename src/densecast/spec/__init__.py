"""Plain values that describe models, images, precisions and scores; no file access, no engines."""
