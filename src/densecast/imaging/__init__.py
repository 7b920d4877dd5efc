"""From an image file to network inputs: reading, resizing, normalising, TTA views."""
