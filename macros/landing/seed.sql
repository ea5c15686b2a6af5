{# Loads a seed by the names in its header, whatever their order, and as spreadsheets save
   it: blanks around names and cells, and rows without any text, do not count. The columns
   are those of `column_types`. A cell that is no number or no time is NULL: it disables
   its row, not the run (orchestration/seeds.py names it). One statement replaces the
   table, so that it also has the columns of a newer version. #}
{% materialization seed, default %}
    {%- set types = config.require('column_types') -%}
    {%- set file = load_agate_table() -%}
    {#- `dbt seed --show` prints it. -#}
    {%- do store_result('agate_table', response='OK', agate_table=file) -%}
    {%- set chunks = seed_chunks(file, types) -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') -%}
        {{ replace_table(this, seed_select(chunks[0], types)) }}
    {%- endcall -%}
    {%- for chunk in chunks[1:] -%}
        {%- call statement('more') -%}
            insert into {{ this }} {{ seed_select(chunk, types) }}
        {%- endcall -%}
    {%- endfor -%}
    {{ run_hooks(post_hooks) }}
    {%- set relation = this.incorporate(type='table') -%}
    {%- do apply_grants(relation, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(relation, model) -%}
    {%- do commit_changes() -%}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{# The rows of `table`, an agate table, as SQL tuples in the order of `types`: a list of
   lists, each for a statement. Some 250,000 characters and 10,000 rows: Snowflake wants a
   statement to have less than 1 MB, and VALUES at most 16,384 rows. An offset is written
   out, as +02:00: Snowflake need not read a shorter one. #}
{% macro seed_chunks(table, types) -%}
    {%- set header = table.column_names | map('trim') | map('lower') | list -%}
    {%- if header | length == 1 and types | length > 1 and modules.re.search('[;\t|]', header[0]) -%}
        {{ exceptions.raise_compiler_error(
            model.original_file_path ~ ': its columns are not separated by commas: save it as CSV with commas.'
        ) }}
    {%- endif -%}
    {%- set missing = types | reject('in', header) | join(', ') -%}
    {%- set unknown = header | reject('in', types) | join(', ') -%}
    {%- if missing or unknown -%}
        {{ exceptions.raise_compiler_error(
            model.original_file_path ~ ' line 1: ' ~ ('column ' ~ missing ~ ' is missing; ' if missing)
            ~ ('column ' ~ unknown ~ ' is unknown; ' if unknown) ~ 'the columns are ' ~ types | join(', ') ~ '.'
        ) }}
    {%- endif -%}
    {%- set step = namespace(chunks=[[]], size=0) -%}
    {%- for row in table.rows -%}
        {%- set values = [] -%}
        {%- for name, type in types.items() -%}
            {%- set value = row[header.index(name)] -%}
            {%- if value is not none and value is not string and type == 'varchar' -%}
                {#- dbt knows only a name without blanks for text, and has made 7 of 007. -#}
                {{ exceptions.raise_compiler_error(
                    model.original_file_path ~ ' line 1: remove the blanks around ' ~ name ~ ', a column of text.'
                ) }}
            {%- endif -%}
            {%- set text = '' if value is none else value | string | trim -%}
            {%- set pattern = {
                'integer': '[0-9]{1,9}',
                'datetime':
                    '[0-9]{4}-[0-9]{2}-[0-9]{2}'
                    ~ '([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?',
            }.get(type, '.+') -%}
            {%- do values.append(sql_string(text) if modules.re.fullmatch('(?s)' ~ pattern, text) else 'null') -%}
        {%- endfor -%}
        {%- if row | reject('none') | list -%}
            {%- do step.chunks[-1].append('(' ~ values | join(', ') ~ ')') -%}
            {%- set step.size = step.size + step.chunks[-1][-1] | length -%}
        {%- endif -%}
        {%- if (step.size > 250000 or step.chunks[-1] | length == 10000) and not loop.last -%}
            {%- do step.chunks.append([]) -%}
            {%- set step.size = 0 -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(step.chunks) }}
{%- endmacro %}

{# A SELECT of such tuples, with the names and types of `types`. #}
{% macro seed_select(tuples, types) -%}
    {%- set nothing = [] -%}
    {%- for name in types -%}{%- do nothing.append('null') -%}{%- endfor -%}
    select
        {%- for name, type in types.items() %}
        {% if type == 'datetime' -%}
        {{ parse_iso_timestamp('cast(' ~ name ~ ' as varchar)') }}
        {%- else -%}
        cast({{ name }} as {{ type }})
        {%- endif %} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (values {{ tuples | join(', ') or '(' ~ nothing | join(', ') ~ ')' }}) as cells ({{ types | join(', ') }})
    {{- '' if tuples else ' where 1 = 0' }}
{%- endmacro %}
