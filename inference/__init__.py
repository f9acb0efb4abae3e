"""Proposals: networks, and what makes a volume into their input and their output into structures."""
