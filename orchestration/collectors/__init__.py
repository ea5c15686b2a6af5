"""Collectors bring what SQL cannot see into the landing tables."""
def collect(dbt, as_of): pass
