"""Images to feature maps."""
