"""What a model, an image, a precision and a score are: plain values, no files, no engines."""
