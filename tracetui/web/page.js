// The keys go to the terminal as soon as it is there, without a click.
const waiting = setInterval(() => {
  const terminal = document.querySelector(".xterm-helper-textarea");
  if (terminal && document.body.classList.contains("-first-byte")) {
    terminal.focus();
    clearInterval(waiting);
  }
}, 50);
