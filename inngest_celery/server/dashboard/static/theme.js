// Before anything is drawn: the theme that was chosen here; without one, the system's.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage it is the system's.
}
