{# A number in [0, 1) that `n` (a bigint expression), `salt` and `seed` decide:
   the same on every engine and in every run, which hash() and random() are not.
   Park and Miller's modulus keeps each product within 64 bits; the square takes
   away the straight line that consecutive numbers would otherwise draw. #}
{% macro pseudo_random(n, salt, seed) -%}
    {%- set mixed = 'mod((' ~ n ~ ') * 48271 + ' ~ (salt * 40692 + seed * 1299709 + 12345) ~ ', 2147483647)' -%}
    (mod(mod({{ mixed }} * {{ mixed }}, 2147483647) * 16807 + {{ salt * 7919 }}, 2147483647) / cast(2147483647 as double))
{%- endmacro %}
