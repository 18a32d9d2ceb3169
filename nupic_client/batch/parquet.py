"""Parquet files, with pyarrow: rows as they come, and a table of the lines at the end.

A Parquet file is not readable before its end is written. So a run writes lines, which can be resumed after any of them, and
makes the table of them at its end.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import importlib
import itertools
import json
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nupic_client.batch.columns import VECTORS, columns_of
from nupic_client.batch.lines import Prompting
from nupic_client.batch.reading import ObjectSource
from nupic_client.batch.row import OPTIONAL_COLUMNS, RESULT_COLUMNS
from nupic_client.errors import ConfigurationError

__all__ = ["is_parquet", "load_pyarrow", "source", "write"]

_ROWS = 1024
"""Rows that are in memory at the same time, and in one row group of a table."""
_PROMPTS = ("prompt", "messages")
_TEXTS = "input"
"""The column of texts for vectors, in a table without prompts."""
_JSON = "json"
"""The type of a column whose values have no type of Arrow in common: texts of JSON."""


def is_parquet(path: Path) -> bool:
    """Return whether a file is one of Parquet, by its name."""
    return path.suffix.lower() == ".parquet"


def load_pyarrow() -> Any:
    """Import pyarrow with its Parquet part.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        arrow = importlib.import_module("pyarrow")
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            "a Parquet file needs pyarrow, which is not installed: pip install 'nupic-client[parquet]'"
        ) from None
    return arrow


def source(path: Path, prompting: Prompting, *, numbered: bool) -> ObjectSource:
    """Return the rows of a Parquet file, which has a column ``prompt``, ``messages`` or ``input``.

    Args:
        path: of the file.
        prompting: how its rows become prompts.
        numbered: give each row its prompt and its number only, for a table that takes the other columns as they are.

    Raises:
        ConfigurationError: it cannot be read, or pyarrow is not installed.
    """
    arrow = load_pyarrow()
    try:
        file = arrow.parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise ConfigurationError(
            f"input must be a Parquet file, and {str(path)!r} is none: {error}", parameter="input"
        ) from None
    names = file.schema_arrow.names
    prompts = [name for name in _PROMPTS if name in names] or [name for name in names if name == _TEXTS]
    if not prompts:
        file.close()
        raise ConfigurationError(
            "input must have a column prompt (texts), messages (lists) or input (texts for vectors), and"
            f" {str(path)!r} has {names}",
            parameter="input",
        )
    columns = prompts if numbered else names
    return ObjectSource(_rows(file, columns), prompting, size=file.metadata.num_rows, close=file.close)


def _rows(file: Any, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
        for row in batch.to_pylist():
            # A column has a value in each row: none is as if it were not there.
            yield {
                name: _json(value) for name, value in row.items() if value is not None or name not in _PROMPTS
            }


def _json(value: Any) -> Any:
    """Return a value of Arrow as JSON has it."""
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, dt.timedelta)):
        return str(value)
    if isinstance(value, float) and value - value != 0:  # not a number, or infinite
        return None
    return value


def write(lines: Path, output: Path, original: Path | None) -> None:
    """Write a table of the lines of a run, in place of what is there.

    Args:
        lines: the file of lines.
        output: the Parquet file.
        original: the Parquet file that was read: the table has its rows in its order, its columns with their types, and the
            results. None takes all columns from the lines, in their order.

    Raises:
        OSError: it cannot be written.
    """
    arrow = load_pyarrow()
    new = output.with_name(f"{output.name}.new")
    types, results = _types(arrow, lines)
    if original is None:
        types = {**types, **results}
        tables: Iterator[Any] = (_table(arrow, rows, types) for rows in _groups(lines))
        schema = _table(arrow, [], types).schema
    else:
        # Of each row only its prompt is in the lines: all other columns that they have are of an answer.
        more = {name: kind for name, kind in types.items() if name in OPTIONAL_COLUMNS}
        results = {**more, **results}
        kept = [field for field in arrow.parquet.read_schema(original) if field.name not in results]
        schema = arrow.schema([*kept, *_table(arrow, [], results).schema])
        tables = _joined(arrow, lines, original, schema, results)
    with arrow.parquet.ParquetWriter(new, schema) as writer:
        for table in tables:
            writer.write_table(table)
    new.replace(output)


def _result_types(arrow: Any) -> dict[str, Any]:
    text, count = arrow.string(), arrow.int64()
    kinds = (text, text, count, count, arrow.float64(), arrow.struct([("code", text), ("message", text)]))
    return dict(zip(RESULT_COLUMNS, kinds, strict=True))


def _groups(lines: Path) -> Iterator[list[dict[str, Any]]]:
    with lines.open("rb") as file:
        while some := list(itertools.islice(file, _ROWS)):
            yield [columns_of(line) for line in some]


def _types(arrow: Any, lines: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the type of each column that the lines have besides the results, and of the results."""
    types: dict[str, Any] = {}
    names: set[str] = set()
    shapes: set[str] = set()
    for rows in _groups(lines):
        names |= {name for row in rows for name in row}
        shapes |= _shapes(arrow, [row.get(VECTORS) for row in rows])
        for name in dict.fromkeys(name for row in rows for name in row if name not in RESULT_COLUMNS):
            found = _type(arrow, [row.get(name) for row in rows])
            types[name] = _common(arrow, types.get(name, arrow.null()), found)
    types = {name: _storable(arrow, kind) for name, kind in types.items()}
    results = _result_types(arrow)
    if VECTORS in names and "other" not in shapes:
        vector = arrow.list_(arrow.float32())
        types[VECTORS] = arrow.list_(vector) if "several" in shapes else vector
        if "output" not in names:
            results = {"error": results["error"]}
    return types, results


def _storable(arrow: Any, kind: Any) -> Any:
    """Return a type that Parquet can store for a type of Arrow: it has none for nothing, and none for ``{}`` alone."""
    if kind == arrow.null():
        return arrow.string()
    inner = [kind]
    while inner and _JSON not in inner:
        structs = [each for each in inner if arrow.types.is_struct(each)]
        if not all(each.num_fields for each in structs):
            return _JSON
        lists = [each for each in inner if arrow.types.is_list(each)]
        inner = [field.type for each in structs for field in each] + [each.value_type for each in lists]
    return kind


def _shapes(arrow: Any, values: list[Any]) -> set[str]:
    """Return what there is among the values of a column: ``one`` vector, ``several``, or ``other`` values."""
    several = [value for value in values if _is_several(value)]
    one = [value for value in values if value is not None and not _is_several(value)]
    numbers = {arrow.list_(kind) for kind in (arrow.float64(), arrow.int64())}
    known = {"one": (one, numbers), "several": (several, {arrow.list_(kind) for kind in numbers})}
    return {
        name if _type(arrow, found) in kinds else "other" for name, (found, kinds) in known.items() if found
    }


def _is_several(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def _as_several(value: Any) -> Any:
    """Return a single vector as a list of one, as where other rows have several."""
    return value if value is None or _is_several(value) else [value]


def _type(arrow: Any, values: list[Any]) -> Any:
    try:
        return arrow.array(values).type
    except (arrow.ArrowException, OverflowError):
        return _JSON


def _common(arrow: Any, one: Any, other: Any) -> Any:
    if _JSON in (one, other):
        return _JSON
    try:
        schemas = [arrow.schema([("it", kind)]) for kind in (one, other)]
        return arrow.unify_schemas(schemas, promote_options="permissive").field("it").type
    except arrow.ArrowException:
        return _JSON


def _table(arrow: Any, rows: list[dict[str, Any]], types: Mapping[str, Any]) -> Any:
    arrays = {}
    for name, kind in types.items():
        values = [row.get(name) for row in rows]
        if kind == _JSON:
            texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
            arrays[name] = arrow.array(texts, arrow.string())
        elif name == VECTORS and kind == arrow.list_(arrow.list_(arrow.float32())):
            arrays[name] = arrow.array([_as_several(value) for value in values], kind)
        else:
            arrays[name] = arrow.array(values, kind)
    return arrow.table(arrays)


def _joined(arrow: Any, lines: Path, original: Path, schema: Any, types: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the rows of the original with their results; those without a line are left out."""
    places = _places(lines)
    number = 0
    with lines.open("rb") as file, arrow.parquet.ParquetFile(original) as source:
        for batch in source.iter_batches(batch_size=_ROWS):
            indexes, rows = [], []
            for index in range(batch.num_rows):
                number += 1
                place = places[number] if number < len(places) else 0
                if place:
                    file.seek(place - 1)
                    indexes.append(index)
                    rows.append(columns_of(file.readline()))
            table = arrow.Table.from_batches([batch]).take(arrow.array(indexes, arrow.int64()))
            results = _table(arrow, rows, types)
            columns = [(results if name in types else table).column(name) for name in schema.names]
            yield arrow.Table.from_arrays(columns, schema=schema)


def _places(lines: Path) -> array[int]:
    """Return where the line of each row begins, counted from 1; 0 for a row without one."""
    places, place = array("Q"), 1
    with lines.open("rb") as file:
        for line in file:
            number = json.loads(line)["id"]
            if number >= len(places):
                places.extend(itertools.repeat(0, number + 1 - len(places)))
            places[number] = place
            place += len(line)
    return places
