// Live logs, and releases that are on their way. Everything else on the pages works without this file.
"use strict";

const log = document.getElementById("log");
if (log) {
  seek();
  addEventListener("hashchange", seek);
}
if (log && log.dataset.events && "EventSource" in window) follow(log);

// A release on its way: the page is the answer, so it is asked again.
if (document.getElementById("busy")) setTimeout(() => location.replace(location.pathname), 2000);

// Lines that are kept at the end of a log that goes on, and those that may be there while somebody reads above it:
// a page with a hundred thousand would hold the browser up. The server has them all.
function follow(log, kept = 2000, most = 10000) {
  const said = document.getElementById("live");
  const mark = document.getElementById("mark");
  const source = new EventSource(`${log.dataset.events}?from=${log.dataset.from}`);
  const live = "Live: new lines appear by themselves.";
  if (said) said.textContent = live;
  let next = Number(log.dataset.next);
  let shown = next;
  let waiting = [];
  let asked = false;
  if (!wanted()) log.scrollTop = log.scrollHeight;

  // All that came since the last frame goes onto the page at once.
  const show = () => {
    asked = false;
    if (!waiting.length) return;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const missed = next - waiting.length > shown;
    if (!atEnd && (missed || log.childElementCount >= most)) {
      if (said) said.textContent = `Live: ${next - shown} newer lines are shown when you scroll to the end.`;
      return;
    }
    if (missed) log.replaceChildren();
    const first = next - waiting.length;
    log.append(...waiting.map((told, index) => line(told, first + index)));
    [waiting, shown] = [[], next];
    if (said) said.textContent = live;
    if (wanted() >= first && wanted() < next) return seek();
    if (!atEnd) return;
    for (let old = log.childElementCount - kept; old > 0; old--) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  };
  const ask = () => {
    if (!asked) requestAnimationFrame(show);
    asked = true;
  };
  log.addEventListener("scroll", ask);
  // Each event's id is the byte after its text; the browser sends the last one when it comes back.
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    next += told.lines.length;
    waiting = waiting.concat(told.lines).slice(-kept);
    if (mark && told.mark) mark.textContent = told.mark;
    ask();
  };
  source.addEventListener("end", () => {
    source.close();
    // The server knows what came of it, and what can be done now.
    location.reload();
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED && said) said.textContent = "The connection is lost: reload the page.";
  };
}

// The number of the line that the address names.
function wanted() {
  const [, number] = /^#L(\d+)$/.exec(location.hash) ?? [];
  return Number(number ?? 0);
}

// Shows that line. The page has a stretch of the log only: of another line the server is asked, once.
function seek() {
  const number = wanted();
  if (!number) return;
  for (const old of log.querySelectorAll(".wanted")) old.classList.remove("wanted");
  const line = document.getElementById(`L${number}`);
  if (line) {
    line.classList.add("wanted");
    line.scrollIntoView({ block: "center" });
  } else if (new URLSearchParams(location.search).get("line") !== `${number}`) {
    location.replace(`${location.pathname}?line=${number}${location.hash}`);
  }
}

// Text only: what a log says is never taken for HTML.
function line({ pieces }, number) {
  const line = document.createElement("span");
  line.className = "line";
  line.id = `L${number}`;
  const link = document.createElement("a");
  link.className = "n";
  link.href = `#L${number}`;
  link.tabIndex = -1;
  link.textContent = number;
  line.append(link);
  for (const { class: look, text } of pieces) {
    const piece = document.createElement("span");
    piece.className = look;
    piece.textContent = text;
    line.append(piece);
  }
  line.append("\n");
  return line;
}
