// For the manual's pages: a button that copies a block of code (of a terminal session, its commands only), and a
// search that does not lose what was typed too early.
"use strict";

function commands(code) {
  const text = code.textContent;
  if (!code.classList.contains("language-console")) return text;
  const typed = text.split("\n").filter((line) => line.startsWith("$ "));
  return typed.map((line) => line.slice(2) + "\n").join("");
}

// A page that was opened from the disk may not be given the clipboard: then the text goes through a field.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

function add(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await copy(commands(code));
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  const box = document.createElement("div");
  box.className = "copied";
  code.parentElement.before(box);
  box.append(code.parentElement, button);
}

// The theme hears no key before its index is there: what stands in the field by then is looked for then.
function searchWhenReady() {
  if (typeof searchWorker === "undefined") return;
  searchWorker.addEventListener("message", (event) => {
    const field = document.getElementById("mkdocs-search-query");
    if (event.data.allowSearch && field?.value) field.dispatchEvent(new Event("keyup"));
  });
}

document.addEventListener("DOMContentLoaded", () => {
  searchWhenReady();
  const languages = ["sh", "console", "python", "yaml", "json"].map((name) => `pre > code.language-${name}`);
  document.querySelectorAll(languages.join(",")).forEach(add);
  // A browser gives a page from the disk no worker, so the theme's search would find nothing.
  if (location.protocol === "file:") document.querySelector("[data-bs-target='#mkdocs_search_modal']")?.remove();
});
