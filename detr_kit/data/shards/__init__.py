"""Sets that are larger than a disk: tar files at any address, each with some hundred images."""
