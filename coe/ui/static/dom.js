// Elements from plain values. Text is only ever set as text: nothing that a model or a person wrote becomes markup.

export const $ = (id) => document.getElementById(id);

// element("p", {class: "note"}, "text", child): attributes by name, `on…` as listeners; null and undefined are left out.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Changes the text where it differs, so that a selection or a screen reader's place outlives a refresh.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Shows a message in its place, or hides the place.
export function tell(node, message) {
  setText(node, message ?? "");
  node.hidden = !message;
}

// Rows of a table's body by key. Rows that stay are changed in place and keep the focus of their buttons.
export class Rows {
  constructor(table) {
    this.table = table;
    this.heads = [...table.tHead.rows[0].cells];
    this.rows = new Map();
    // Narrow screens show rows as blocks, for which browsers forget what tables are unless it is written.
    table.setAttribute("role", "table");
    for (const head of this.heads) head.setAttribute("role", "columnheader");
  }

  // `items`: {key, cells: [text, or a way to make a node]}; a node is made and placed once, with its row.
  show(items) {
    const keys = new Set(items.map((item) => item.key));
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
    const body = this.table.tBodies[0];
    items.forEach((item, place) => {
      const row = this.rows.get(item.key) ?? this.#make(item);
      item.cells.forEach((content, column) => {
        if (typeof content === "string") setText(row.cells[column].lastChild, content);
      });
      if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
    });
    this.table.hidden = items.length === 0;
  }

  #make({ key, cells }) {
    const made = cells.map((content, column) => {
      const head = this.heads[column];
      const attributes = { role: column ? "cell" : "rowheader", "data-label": head.textContent, class: head.className || null };
      const value = typeof content === "string" ? element("span") : content();
      return column ? element("td", attributes, value) : element("th", { ...attributes, scope: "row" }, value);
    });
    const row = element("tr", { role: "row" }, ...made);
    this.rows.set(key, row);
    return row;
  }
}

// A list of named bars; `share` in [0, 1] is their length.
export function showBars(list, bars) {
  list.replaceChildren(
    ...bars.map(({ name, share, text, chosen }) => {
      const fill = element("span", { class: "fill" });
      fill.style.setProperty("--share", String(Math.max(0, Math.min(1, share))));
      return element(
        "li",
        { class: chosen ? "chosen" : null },
        element("span", { class: "name" }, name),
        element("span", { class: "track", "aria-hidden": "true" }, fill),
        element("span", { class: "number" }, text),
      );
    }),
  );
}
