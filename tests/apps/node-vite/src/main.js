import { h, render } from "preact";

render(h("h1", null, `Hello from node-vite, at ${location.pathname}`), document.querySelector("main"));
