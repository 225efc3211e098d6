// Light or dark, before anything is drawn: as chosen, or else as the system is.
document.documentElement.dataset.theme = localStorage.getItem("preludio.theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
