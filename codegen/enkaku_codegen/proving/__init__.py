"""Proving: which types are as narrow as their schemas, and which slots a validator checks beside them."""
