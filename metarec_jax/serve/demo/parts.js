// Pieces of the page that know nothing of the person. Titles are data: they become text, never markup.

const STAR = "m12 1.8 3.1 6.6 7.2.9-5.3 5 1.4 7.1L12 17.9l-6.4 3.5L7 14.3l-5.3-5 7.2-.9z";

// An element with properties and children; a child that is text stays text.
export function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function star() {
  const image = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  image.setAttribute("viewBox", "0 0 24 24");
  image.setAttribute("aria-hidden", "true");
  path.setAttribute("d", STAR);
  image.append(path);
  return image;
}

// "1 rating", "2,991 ratings".
export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// The JSON of a reply; an Error with what to tell a person where there is none.
export async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  const options = body && { method: "POST", headers, body: JSON.stringify(body) };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("No answer. Is scripts/demo.sh still running?");
  }
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error);
  return found;
}

// A title with its year in a softer tone.
export function titled(title) {
  const [, name, year] = title.match(/^(.*\S)\s+(\(\d{4}\))$/s) ?? [null, title, ""];
  return make("span", { className: "title", title }, name, year && make("span", { className: "soft" }, ` ${year}`));
}

// A group of stars, one a choice, of which those up to `value` are filled; `rate` is called with what is chosen.
export function stars(choices, value, title, rate) {
  const group = make("div", { className: "stars", role: "radiogroup", ariaLabel: `Rate ${title}` });
  const inTurn = choices.includes(value) ? value : choices[choices.length - 1];
  for (const choice of choices) {
    const button = make("button", { type: "button", role: "radio", ariaChecked: String(choice === value) }, star());
    button.ariaLabel = button.title = count(choice, "star");
    button.dataset.value = choice;
    button.tabIndex = choice === inTurn ? 0 : -1;
    button.classList.toggle("on", choice <= value);
    button.addEventListener("click", () => rate(choice));
    group.append(button);
  }
  return group;
}

// A button that takes a row away.
export function cross(label, action) {
  const button = make("button", { type: "button", className: "cross", ariaLabel: label, title: label }, "×");
  button.addEventListener("click", action);
  return button;
}

// The scale with the prediction and what it may be wrong by.
export function bar([low, high], entry) {
  const at = (rating) => (100 * (Math.min(Math.max(rating, low), high) - low)) / (high - low || 1);
  const [band, dot] = [make("b"), make("u")];
  dot.style.left = `${at(entry.prediction)}%`;
  if (entry.spread !== null) {
    band.style.left = `${at(entry.prediction - entry.spread)}%`;
    band.style.right = `${100 - at(entry.prediction + entry.spread)}%`;
  }
  return make("i", { className: "bar", ariaHidden: "true" }, band, dot);
}

// Left and right move within a group, up and down between rows, a digit rates. Returns whether the list was left by its
// upper end.
export function onStarKey(event) {
  const buttons = [...event.target.closest(".stars").children];
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const line = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  const named = buttons.find((button) => button.dataset.value === event.key);
  if (step) buttons[buttons.indexOf(event.target.closest("button")) + step]?.focus();
  if (named && !event.ctrlKey && !event.metaKey && !event.altKey) {
    named.focus();
    named.click();
  }
  let left = false;
  if (line) {
    const other = event.target.closest("li")[line]?.querySelector('.stars [tabindex="0"]');
    other?.focus();
    left = !other && event.key === "ArrowUp";
  }
  if (step || line || named) event.preventDefault();
  return left;
}
