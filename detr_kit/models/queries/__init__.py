"""Where a decoder's queries come from."""
