// What the pages have besides with JavaScript: local times, a ticking countdown, copying. Everything works without.
"use strict";

function two(number) {
  return String(number).padStart(2, "0");
}

// Beside a time of the contest's zone, the reader's own where it differs and the account names none.
function localTimes(root) {
  for (const time of root.querySelectorAll("time[data-offset]:not([data-own])")) {
    const moment = new Date(time.dateTime);
    const minutes = -moment.getTimezoneOffset();
    time.setAttribute("data-own", "");
    if (Number.isNaN(moment.getTime()) || minutes === Number(time.dataset.offset)) continue;
    const sign = minutes < 0 ? "-" : "+";
    const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    const zone = `GMT${sign}${hours}${rest ? ":" + two(rest) : ""}`;
    const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
    const own = document.createElement("span");
    own.className = "local";
    const word = document.documentElement.lang === "en" ? "yours" : "本地";
    own.textContent = `${word} ${day} ${two(moment.getHours())}:${two(moment.getMinutes())} (${zone})`;
    time.after(" ", own);
  }
}

function countdown(clock) {
  const until = new Date(clock.dataset.until).getTime();
  const units = clock.dataset.units.split(",");
  const tick = () => {
    const left = Math.max(0, Math.floor((until - Date.now()) / 1000));
    const parts = [Math.floor(left / 86400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60, left % 60];
    clock.textContent = parts.map((part, index) => `${index ? two(part) : part} ${units[index]}`).join(" ");
  };
  tick();
  setInterval(tick, 1000);
}

function copying(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = button.dataset.copied;
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  localTimes(document);
  document.querySelectorAll(".clock[data-until]").forEach(countdown);
  copying(document);
});
document.addEventListener("htmx:afterSettle", (event) => localTimes(event.detail.elt.parentElement || document));
