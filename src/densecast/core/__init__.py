"""The shared types and rules: everything may import them, they import nothing of densecast."""
