"""Prover: which types enforce their schemas, and which slots need a validator in addition."""
