// parseTable reads at most limit lines of CSV or TSV by RFC 4180: a quoted field
// may hold separators, line ends and doubled quotes.
export function parseTable(text, comma, limit) {
  const rows = [];
  let row = [], field = "", quoted = false, i = 0;
  const endField = () => { row.push(field); field = ""; };
  const endRow = () => {
    endField();
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  for (; i < text.length && rows.length < limit; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') { field += c; i++; }
      else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === comma) endField();
    else if (c === "\n") endRow();
    else if (c !== "\r") field += c;
  }
  if (rows.length < limit && (field !== "" || row.length)) endRow();
  return rows;
}
