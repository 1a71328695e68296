"""The Jinja templates from which enkaku_codegen renders a package."""
