"""Planner: a definition becomes Python names, and a simple schema for each type.

Every name of the generated code is chosen here.
"""
