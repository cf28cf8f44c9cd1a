"use strict";
// All that the page knows of chemiscope; `_viewer` is a private part of it (checked version: page/viewer.py).

// The library is large and most readers of a table never need it: it is started on first use.
const viewerIn = (element) => {
  if (!window.Chemiscope) {
    const library = document.getElementById("library");
    document.head.append(Object.assign(document.createElement("script"), { textContent: library.textContent }));
    library.remove();
  }
  element.replaceChildren();
  const viewer = new Chemiscope.MoleculeViewer(element, []);
  // Its own menu is made for a page of its own; what is needed here is beside the viewer.
  const style = document.createElement("style");
  style.textContent = "button, .badge { display: none !important; }";
  element.firstElementChild.shadowRoot.append(style);
  return viewer;
};

// The library fits the view to the atoms and zooms in on them: out again, until the whole cell is seen however it is
// turned. Its centre is where the library put it, on the atoms.
const fit = ({ _viewer: view }, cell, cells) => {
  const [x, y, z, depth] = view.getView();
  const reaches = [0, 1, 2, 3, 4, 5, 6, 7].map((corner) => {
    const along = (axis) => [0, 1, 2].reduce((sum, row) => sum + ((corner >> row) & 1) * cells * cell[3 * row + axis], 0);
    return Math.hypot(x + along(0), y + along(1), z + along(2)); // the view moves the crystal by minus its centre
  });
  // The library's fov is from the middle to the left or right edge; up and down follow from the shape of the canvas.
  const angle = Math.atan(Math.tan(view.camera.fov * (Math.PI / 180)) / Math.max(1, view.camera.aspect));
  const distance = Math.max(...reaches) / Math.sin(angle);
  view.zoom(Math.min(1, (view.CAMERA_Z - depth) / distance)); // draws
};

const project = (viewer, structure, { cells = 1, ...settings } = {}) => {
  viewer.load(structure, undefined, { supercell: [cells, cells, cells] });
  viewer.applySettings({ atoms: true, bonds: true, unitCell: true, ...settings });
  viewer.resize();
  fit(viewer, structure.cell, cells);
};
