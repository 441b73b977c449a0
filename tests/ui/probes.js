// What tests ask of a page. `Browser.probe` runs one of these in it.

// What has the focus; null where the page has lost it.
function focused() {
  const found = document.activeElement;
  if (!found || found === document.body) return null;
  const name = found.getAttribute("aria-label") ?? found.labels?.[0]?.textContent ?? found.textContent;
  return { name: name.trim(), outline: getComputedStyle(found).outlineStyle, what: found.outerHTML };
}

// Texts whose contrast is below that of WCAG 2.2 AA: 4.5, or 3 from 24 px, and for bold from 18.66 px, on.
function faint() {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  function luminance(color) {
    const [red, green, blue] = channels(color).map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }
  function behind(node) {
    for (let each = node; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if ((channels(color)[3] ?? 1) === 1) return color;
    }
    return "rgb(255, 255, 255)";
  }
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    const parent = walker.currentNode.parentElement;
    if (!text || !parent.checkVisibility() || parent.closest(".unseen, script, noscript")) continue;
    const style = getComputedStyle(parent);
    const [darker, lighter] = [luminance(style.color), luminance(behind(parent))].sort((one, other) => one - other);
    const size = parseFloat(style.fontSize);
    const enough = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if ((lighter + 0.05) / (darker + 0.05) < enough) found.push([text, style.color, behind(parent)]);
  }
  return found;
}

// What reaches beyond the right edge of the window.
function beyond() {
  return [...document.querySelectorAll("body *")]
    .filter((each) => each.checkVisibility() && !each.closest("thead, .unseen"))
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
    .map((each) => each.outerHTML);
}

// Fields that nothing names.
function unnamed() {
  return [...document.querySelectorAll("input, select, textarea")].filter((each) => !each.labels.length).map((each) => each.id);
}

// Names and values below the last answer.
function facts() {
  const found = document.querySelectorAll(".answer:last-child .facts > div");
  return [...found].map((fact) => [...fact.children].map((each) => each.textContent));
}

// What a person reads of a table, but for its head.
function cells(table) {
  return [...document.querySelectorAll(`${table} tbody tr`)].map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
}
