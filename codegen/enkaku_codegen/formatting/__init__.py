"""Formatter of protocol files: it changes the layout, and neither values nor comments."""
