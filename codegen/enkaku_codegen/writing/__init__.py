"""Writing: a plan becomes the text of a package.

Above it: generate. Below it: planning, proving, reading. It alone knows templates and datamodel-code-generator.
"""
