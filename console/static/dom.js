// Makes and changes elements. Text is always text: nothing here reads markup.

/** An element with attributes and children; strings become text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, attributes);
  element.append(...children);
  return element;
}

/** The same in SVG. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  assign(element, attributes);
  element.append(...children);
  return element;
}

function assign(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Change the text only where it differs, so that what is read or marked stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Give `element` the class `tone-…` of a colour. */
export function tint(element, colour) {
  const wanted = `tone-${colour ?? "plain"}`;
  if (element.dataset.tone === wanted) return;
  if (element.dataset.tone) element.classList.remove(element.dataset.tone);
  element.classList.add(wanted);
  element.dataset.tone = wanted;
}

/** As many children as there are items: those that are there are changed, so that the focus stays where it is. */
export function match(parent, items, create, change) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, place) => {
    let child = parent.children[place];
    if (!child) {
      child = create(item, place);
      parent.append(child);
    }
    change(child, item, place);
  });
}
