// Swaps in what has changed, follows a run's output. Without it every page is complete; it is only never new.
"use strict";

const state = document.querySelector("#live-state");

function say(words, tone) {
  if (state) {
    state.textContent = words;
    state.className = `tag ${tone}`;
  }
}

// The same address, asked for as a stream, gives the live part of this page whenever it has changed.
const live = document.querySelector("[data-live]");
if (live) {
  const source = new EventSource(location.href);
  source.addEventListener("open", () => say("live", "good"));
  source.addEventListener("error", () => say("not live: reconnecting", "warn"));
  source.addEventListener("over", () => { source.close(); say("", "plain"); });
  source.addEventListener("part", (event) => {
    // A form that someone is filling in is not taken from under their hands.
    if (live.querySelector("form :focus")) {
      return;
    }
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const kept = [...live.querySelectorAll("details[id], input[id]")];
    live.innerHTML = event.data;
    kept.forEach((old) => {
      const fresh = document.getElementById(old.id);
      if (fresh instanceof HTMLDetailsElement) {
        fresh.open = old.open;
      } else if (fresh instanceof HTMLInputElement) {
        fresh.value = old.value;
      }
    });
    if (focused) {
      document.getElementById(focused)?.focus();
    }
  });
}

// The output of a run under way grows at its end.
const output = document.querySelector("pre[data-events]");
if (output) {
  const follower = new EventSource(output.dataset.events);
  const follow = document.querySelector("#follow");
  output.textContent = "";
  follower.addEventListener("output", (event) => {
    output.append(JSON.parse(event.data).text);
    if (follow?.checked) {
      output.scrollIntoView({ block: "end" });
    }
  });
  follower.addEventListener("gap", (event) => output.append(`\n[${JSON.parse(event.data).left_out} events left out]\n`));
  follower.addEventListener("end", () => follower.close());
}

// Filters apply when one of them is chosen; without JavaScript there is a button.
document.querySelectorAll("form[data-apply] select").forEach((choice) => {
  choice.addEventListener("change", () => choice.form.requestSubmit());
});
