"""Numbers and texts as CSV that is safe to open in a spreadsheet."""

import csv
import io

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # openings that a spreadsheet would run


def csv_text(rows):
    """Rows of plain values as CSV. Text that a spreadsheet would take for a formula gets a quote (') in front."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_safe(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def _safe(cell):
    return "'" + cell if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA) else cell
