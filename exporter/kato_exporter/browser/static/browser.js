// Comfort for readers with a keyboard; every page is whole without it.
"use strict";

for (const element of document.querySelectorAll(".with-script")) element.hidden = false;
for (const element of document.querySelectorAll(".without-script")) element.hidden = true;

document.addEventListener("change", (event) => {
  if (!event.target.matches(".select-all")) return;
  const boxes = event.target.closest("table").querySelectorAll("td.select input");
  for (const box of boxes) box.checked = event.target.checked;
});

const rows = () => [...document.querySelectorAll("main a.row")];

function moveRow(step) {
  const links = rows();
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
  links[Math.min(Math.max(next, 0), links.length - 1)].focus();
}

const follow = (selector) => document.querySelector(selector)?.click();

const keys = {
  "/": () => document.querySelector("main input[type=search]")?.focus(),
  j: () => moveRow(1),
  k: () => moveRow(-1),
  n: () => follow("a[rel=next]"),
  g: () => follow("a.brand"),
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const action = keys[event.key];
  const typing = event.target.closest("input, select, textarea, dialog[open], [contenteditable]");
  if (!action || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    done = "Not permitted here";
  }
  button.textContent = done;
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

function span(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function countDown() {
  const now = Date.now() / 1000;
  for (const element of document.querySelectorAll("time[data-expires]")) {
    const left = Number(element.dataset.expires) - now;
    element.textContent = left > 0 ? span(left) : "expired";
  }
}

if (document.querySelector("time[data-expires]")) setInterval(countDown, 1000);
