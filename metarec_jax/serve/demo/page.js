// The page of one person, whose ratings are in the address and nowhere else.

import { ask, bar, count, cross, make, onStarKey, stars, titled } from "/parts.js";

const OFFERED = 5; // titles to rate next that are shown
const get = (id) => document.getElementById(id);
const ratings = new Map(); // id -> rating, in the order in which they were given
const skipped = new Set(); // ids that were never seen
let about = null;
let answer = null;
let asked = 0; // number of the last question, and of the last search: what is late is dropped
let searched = 0;

function complain(error) {
  get("error").hidden = !error;
  get("error").textContent = error ? error.message : "";
}

function starsOf(item, title) {
  return stars(about.choices, ratings.get(item), title, (value) => rate(item, value));
}

function row(entry, ...rest) {
  const node = make("li", {}, titled(entry.title), ...rest, starsOf(entry.item, entry.title));
  node.dataset.item = entry.item;
  return node;
}

function rate(item, value) {
  if (ratings.size >= about.capacity && !ratings.has(item)) {
    complain(new Error(`${about.capacity} ratings can be taken in. Take one back to give another.`));
    return;
  }
  ratings.set(item, value);
  changed();
}

function changed() {
  const text = new URLSearchParams([...ratings]).toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname);
  recommend();
}

async function recommend() {
  const number = ++asked;
  try {
    const found = await ask("/api/recommend", { ratings: [...ratings] });
    if (number !== asked) return;
    answer = found;
    complain(null);
    render();
  } catch (error) {
    if (number !== asked) return;
    complain(error);
    get("clear").hidden = ratings.size === 0;
  }
}

function render() {
  const focus = whereFocusIs();
  get("own-count").textContent = answer.rated.length || "";
  get("clear").hidden = answer.rated.length === 0;
  get("nothing").hidden = answer.rated.length > 0;
  get("rated").replaceChildren(...answer.rated.map(ratedRow).reverse());
  renderNext();
  renderTop();
  markFound();
  restoreFocus(focus);
}

function ratedRow(entry) {
  const effect = make("span", { className: "effect" });
  const node = row(entry, effect);
  node.append(cross(`Take back ${entry.title}`, () => ratings.delete(entry.item) && changed()));
  return node;
}

function renderNext() {
  const open = answer.next.filter((entry) => !skipped.has(entry.item)).slice(0, OFFERED);
  get("more").hidden = open.length === 0;
  get("next-why").textContent = answer.recommended.some((entry) => entry.spread !== null)
    ? "These would tell most about your taste."
    : "These are known to most people.";
  get("next").replaceChildren(
    ...open.map((entry) => {
      const node = row(entry);
      node.append(
        cross(`Never seen ${entry.title}`, () => {
          skipped.add(entry.item);
          render();
        }),
      );
      return node;
    }),
  );
}

function renderTop() {
  const list = get("top");
  const before = new Map([...list.children].map((node) => [node.dataset.item, node.getBoundingClientRect().top]));
  list.replaceChildren(...answer.recommended.map(topRow));
  const known = answer.rated.length;
  get("basis").textContent = known
    ? `From ${count(known, "rating")}. Point at a title to see what each of them does to it.`
    : "What is shown to somebody of whom nothing is known.";
  get("time").textContent = `answered in ${answer.milliseconds} ms`;
  get("legend").hidden = !answer.recommended.some((entry) => entry.spread !== null);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches || before.size === 0) return;
  for (const node of list.children) {
    const old = before.get(node.dataset.item);
    const from = old === undefined ? 0 : old - node.getBoundingClientRect().top;
    const start = { transform: `translateY(${from}px)`, opacity: old === undefined ? 0 : 1 };
    node.animate([start, { transform: "none", opacity: 1 }], { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" });
  }
}

function topRow(entry) {
  const text = make("div", { className: "text" }, titled(entry.title));
  if (entry.why) text.append(make("p", { className: "why" }, `${entry.why[0].toUpperCase()}${entry.why.slice(1)}.`));
  const value = make("span", { className: "value" }, entry.prediction.toFixed(1));
  const figures = make("div", { className: "figures" }, value, bar(about.scale, entry));
  if (entry.spread !== null) value.append(make("small", { className: "soft" }, `± ${entry.spread.toFixed(1)}`));
  const node = make("li", { tabIndex: 0 }, text, figures);
  node.dataset.item = entry.item;
  for (const [event, shown] of [["mouseenter", entry], ["focus", entry], ["mouseleave", null], ["blur", null]]) {
    node.addEventListener(event, () => effects(shown));
  }
  return node;
}

// Beside each rating what it does to the recommendation that is pointed at.
function effects(entry) {
  const strength = new Map(entry ? answer.rated.map((rated, k) => [rated.item, entry.influence[k]]) : []);
  for (const node of get("rated").children) {
    const value = strength.get(node.dataset.item);
    const shown = value !== undefined && Math.abs(value) >= 0.005;
    const effect = node.querySelector(".effect");
    effect.textContent = shown ? `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}` : "";
    effect.classList.toggle("down", value < 0);
  }
}

async function search() {
  const number = ++searched;
  const text = get("query").value.trim();
  if (!text) return closeFound();
  try {
    const { found } = await ask(`/api/search?q=${encodeURIComponent(text)}`);
    if (number !== searched) return;
    const rows = found.map((entry) => row(entry, make("small", { className: "soft" }, count(entry.count, "rating"))));
    const focus = whereFocusIs(); // whoever types fast is among what an earlier letter found
    get("found").replaceChildren(...rows);
    if (!rows.length) get("found").append(make("li", { className: "soft" }, "Nothing is called that."));
    get("found").hidden = false;
    if (focus?.list === "found") restoreFocus(focus);
  } catch (error) {
    complain(error);
  }
}

function closeFound() {
  searched += 1;
  get("found").hidden = true;
}

function markFound() {
  for (const node of get("found").querySelectorAll("[data-item]")) {
    const group = node.querySelector(".stars");
    group.replaceWith(starsOf(node.dataset.item, node.querySelector(".title").title));
  }
}

function whereFocusIs() {
  const node = document.activeElement;
  const list = node?.closest("ul.rows, #top");
  return list && { list: list.id, item: node.closest("li").dataset.item, value: node.dataset.value };
}

// Lists are made anew; whoever rates by keyboard stays where he was, or goes to the next row.
function restoreFocus(focus) {
  if (!focus) return;
  const list = get(focus.list);
  const same = [...list.children].find((node) => node.dataset.item === focus.item);
  const node = same ?? list.firstElementChild;
  const button = same && focus.value && node.querySelector(`[data-value="${focus.value}"]`);
  (button || node?.querySelector('[tabindex="0"]') || node || get("query")).focus({ preventScroll: true });
}

function onKey(event) {
  const typing = event.target.matches("input");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    get("query").select();
  } else if (event.key === "Escape") {
    if (!get("found").hidden) get("query").focus();
    closeFound();
  } else if (event.key === "ArrowDown" && typing) {
    event.preventDefault();
    get("found").querySelector('[tabindex="0"]')?.focus();
  } else if (event.target.closest(".stars")) {
    const first = onStarKey(event);
    if (first && event.target.closest("#found")) get("query").focus();
  }
}

function readAddress() {
  ratings.clear();
  for (const [item, value] of new URLSearchParams(location.hash.slice(1))) ratings.set(item, Number(value));
  recommend();
}

async function begin() {
  try {
    about = await ask("/api/about");
  } catch (error) {
    return complain(error);
  }
  const titles = count(about.items, "title");
  get("about").textContent = `${titles} of ${about.dataset} · ${about.learner.replaceAll("_", " ")}`;
  get("query").placeholder = `Search ${titles}`;
  get("query").addEventListener("input", search);
  get("query").addEventListener("focus", search);
  get("clear").addEventListener("click", () => {
    ratings.clear();
    changed();
  });
  document.addEventListener("keydown", onKey);
  document.addEventListener("pointerdown", (event) => event.target.closest("#find") || closeFound());
  window.addEventListener("hashchange", readAddress);
  readAddress();
}

begin();
