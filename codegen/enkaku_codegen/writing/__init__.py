"""Writer: a plan becomes the text of a package.

Only these modules use templates and datamodel-code-generator.
"""
