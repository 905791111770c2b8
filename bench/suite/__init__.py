"""Compares connection poolers on one throwaway PostgreSQL; bench/README.md has the method."""
