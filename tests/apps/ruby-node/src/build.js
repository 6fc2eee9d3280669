const fs = require("fs");
const mustache = require("mustache");

fs.mkdirSync("public", { recursive: true });
fs.writeFileSync("public/greeting.txt", mustache.render("Hello from {{name}}\n", { name: "ruby-node" }));
