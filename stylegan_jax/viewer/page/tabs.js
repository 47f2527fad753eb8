// Tabs as the authoring practices of WAI-ARIA have them: arrows, Home and End move among them.

export function activateTabs(list) {
  const tabs = [...list.querySelectorAll('[role=tab]')];
  const open = (tab, focus) => {
    for (const one of tabs) {
      one.setAttribute('aria-selected', one === tab);
      one.tabIndex = one === tab ? 0 : -1;
      document.getElementById(one.getAttribute('aria-controls')).hidden = one !== tab;
    }
    if (focus) tab.focus();
  };
  tabs.forEach((tab, number) => {
    tab.addEventListener('click', () => open(tab, false));
    tab.addEventListener('keydown', (event) => {
      const to = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      open(tabs[(to + tabs.length) % tabs.length], true);
    });
  });
}
