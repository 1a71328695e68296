"""Writing: a plan becomes the text of a package.

It alone knows templates and datamodel-code-generator.
"""
