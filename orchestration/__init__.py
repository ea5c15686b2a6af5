"""The thin scheduler around the dbt project: when it runs, and who hears of it."""
