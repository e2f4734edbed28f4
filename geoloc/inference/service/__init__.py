"""The HTTP service: images in, documents of answers out, nothing kept."""
