"""Tables of comma-separated text."""


def read(path):
    """A pandas.DataFrame of text: cells and columns' names stripped, its index the numbers of the lines from 1.

    Raises ValueError for a file that is no table, one without rows, and a row with fewer or more cells than the first.
    """
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{path} is no file; it should be a table of comma-separated text")
    try:
        rows = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig",
            engine="python",  # tells a missing cell from an empty one
        )  # fmt: skip
    except ValueError as error:  # of Pandas and of Python's decoder
        raise ValueError(f"{path} is no table of comma-separated text: {str(error).splitlines()[0]}") from None
    rows.index += 1
    rows = rows.dropna(how="all").apply(lambda cells: cells.str.strip())
    if len(rows) < 2:
        raise ValueError(f"{path} has no rows below its columns' names")
    table = rows[1:].set_axis(rows.iloc[0].tolist(), axis=1)
    refuse(path, table, table.isna().any(axis=1), f"should have {table.shape[1]} cells, as the first line")
    return table


def refuse(path, table, wrong, should):
    """Raise ValueError where `wrong` is True of a row: the first one's file, line and cells, and what it should be."""
    if wrong.any():
        line = wrong.idxmax()
        raise ValueError(f"{path}, line {line}: {','.join(table.loc[line].dropna())!r} {should}")
