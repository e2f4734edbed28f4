// Files that are dropped anywhere on the page, or pasted.

/** `choose(files)` is called with them; `zone` shows that they may be dropped. */
export function takeDrops(zone, choose) {
  const holds = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle('over', depth > 0);
  };
  document.addEventListener('dragenter', (event) => holds(event) && mark(1));
  document.addEventListener('dragleave', (event) => holds(event) && mark(-1));
  document.addEventListener('dragover', (event) => holds(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    mark(-depth);
    choose(event.dataTransfer.files);
  });
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) choose(files);
  });
}
