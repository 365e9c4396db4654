// Where links lead: another board with values of a row, or a path of the console.

const KEPT = ["from", "to", "lang"];

/** Address of `link`; null when the row lacks what it needs. `row` is an object, `values` the board's variables. */
export function hrefOf(link, row, values) {
  if (link.path) return pathOf(link.path, row);
  const query = new URLSearchParams();
  for (const name of link.keep) query.set(`var-${name}`, values[name]);
  for (const [variable, column] of link.values) {
    const value = row[column];
    if (value === null || value === undefined) return null;
    query.set(`var-${variable}`, value);
  }
  keepRange(query);
  const text = query.toString();
  return `/boards/${link.board}${text ? `?${text}` : ""}`;
}

function pathOf(path, row) {
  let isWhole = true;
  const filled = path.replace(/\{(\w+)\}/g, (_, column) => {
    if (row[column] === null || row[column] === undefined) isWhole = false;
    return encodeURIComponent(row[column] ?? "");
  });
  const here = new URLSearchParams(location.search);
  const query = here.has("lang") ? `?${new URLSearchParams({ lang: here.get("lang") })}` : "";
  return isWhole ? filled + query : null;
}

/** Carry range and language over from this page's address. */
export function keepRange(query) {
  const here = new URLSearchParams(location.search);
  for (const name of KEPT) if (here.has(name)) query.set(name, here.get(name));
  return query;
}

/** A row of an answer as an object. */
export function rowOf(answer, row) {
  return Object.fromEntries(answer.columns.map((name, place) => [name, row[place]]));
}
