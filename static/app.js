// What every page does: the theme, the find box's key, copying, local times, the menu of a phone. Everything works without it, less handily.
document.documentElement.classList.add("js");

const themeCookie = document.documentElement.dataset.themeCookie;
const showTheme = () => {
  const chosen = document.documentElement.dataset.theme || "system";
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setTheme === chosen));
  }
};
const setTheme = (theme) => {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${themeCookie}=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  showTheme();
};

const localTimes = () => {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[data-local]")) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
};

document.addEventListener("DOMContentLoaded", () => {
  showTheme();
  localTimes();
  for (const hidden of document.querySelectorAll("[data-needs-script]")) hidden.hidden = false;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  for (const open of document.querySelectorAll("details[data-menu][open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
  if (!button) return;
  if (button.dataset.setTheme) setTheme(button.dataset.setTheme);
  if (button.dataset.copy !== undefined) {
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    const before = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = before; }, 1500);
  }
  if (button.dataset.toggleMenu !== undefined) {
    const isOpen = document.querySelector(".admin").classList.toggle("admin--menu");
    button.setAttribute("aria-expanded", String(isOpen));
  }
});

document.addEventListener("keydown", (event) => {
  const find = document.getElementById("find");
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && find && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    find.focus();
    find.select();
  }
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details[data-menu][open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  }
});
